//! Tables of what an object has and of errors, as HTML.

use maud::{Markup, html};

use super::documents::key;
use super::facts;
use crate::error_name::ErrorName;
use crate::lexicon::schema::{DeclaredError, Object, Operation, Schema, Type};

/// A table of the object's properties; the `label` is for screen readers. Those of an object within it have
/// rows of their own: `a.b`, and `a[].b` where `a` is a list.
pub(super) fn properties(label: &str, object: &Object) -> Markup {
    let mut rows = Vec::new();
    collect("", object, &mut rows);
    html! {
        @if rows.is_empty() { p { "Nothing." } }
        @else {
            div.table-scroll tabindex="0" role="region" aria-label=(label) {
                table {
                    thead { tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Type" }
                        th scope="col" { "Rules" }
                        th scope="col" { "Description" }
                    } }
                    tbody { @for row in &rows { (property(row)) } }
                }
            }
        }
    }
}

/// What stands in a body: a table, or the type where that is no object.
pub(super) fn schema(label: &str, schema: &Schema) -> Markup {
    html! {
        @if let Type::Object(object) = &schema.kind { (properties(label, object)) }
        @else { p { (type_of(schema)) } (rules(schema)) }
    }
}

/// A table of the errors that the operation declares.
pub(super) fn errors(operation: &Operation) -> Markup {
    html! {
        div.table-scroll tabindex="0" role="region" aria-label="Errors" {
            table {
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Status" }
                    th scope="col" { "Description" }
                } }
                tbody {
                    @for DeclaredError { name, description } in &operation.errors {
                        tr {
                            th scope="row" { code { (name) } }
                            td { (ErrorName::declared_status(name).as_u16()) }
                            td { (description.as_deref().unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

struct Row<'a> {
    path: String,
    is_required: bool,
    schema: &'a Schema,
}

fn collect<'a>(prefix: &str, object: &'a Object, rows: &mut Vec<Row<'a>>) {
    for (name, schema) in &object.properties {
        let path = format!("{prefix}{name}");
        rows.push(Row { path: path.clone(), is_required: object.required.contains(name), schema });
        let (mut inner, mut path) = (schema, path);
        while let Type::Array(array) = &inner.kind {
            path.push_str("[]");
            inner = &array.items;
        }
        if let Type::Object(object) = &inner.kind {
            collect(&format!("{path}."), object, rows);
        }
    }
}

fn property(row: &Row<'_>) -> Markup {
    let Row { path, is_required, schema } = row;
    html! {
        tr {
            th scope="row" {
                code { (path) }
                @if *is_required { " " span.required { "required" } }
                @else { " " span.optional { "optional" } }
            }
            td { (type_of(schema)) }
            td { (rules(schema)) }
            td { (schema.description.as_deref().unwrap_or_default()) }
        }
    }
}

fn rules(schema: &Schema) -> Markup {
    let facts = facts::of(schema);
    html! { @if !facts.is_empty() { ul { @for fact in &facts { li { (fact) } } } } }
}

/// The type; a reference is a link to its definition on the same page.
fn type_of(schema: &Schema) -> Markup {
    match &schema.kind {
        Type::Object(_) => html! { span.type { "object" } },
        Type::Array(array) => html! { span.type { "array of " } (type_of(&array.items)) },
        Type::String(text) => html! {
            span.type { "string" }
            @if let Some(format) = &text.format { " (" (format) ")" }
        },
        Type::Integer(_) => html! { span.type { "integer" } },
        Type::Boolean(_) => html! { span.type { "boolean" } },
        Type::Ref(reference) => html! {
            a.type href={ "#" (key(reference)) } { (reference.definition) }
        },
        Type::Unsupported(kind) => html! { span.type { (kind) } },
    }
}
