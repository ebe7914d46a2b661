//! Binds the objects of a lexicon to messages: names, types, presence and roles.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use proto::xrpc::Role;

use super::Request;
use super::defaults;
use super::rpc::Roles;
use super::shape::{Field, Object, ObjectId, Shape};
use super::types;
use crate::lexicon::Lexicons;
use crate::lexicon::schema::{Definition, Object as Properties, Reference, Schema, Type};

/// Binds the objects of one method and collects the problems.
pub(super) struct Binder<'a> {
    lexicons: &'a Lexicons,
    nsid: &'a str,
    roles: Roles,
    problems: &'a mut Vec<String>,
    /// `None` while the fields of an object are being bound, because an object may refer to itself.
    objects: Vec<Option<Object>>,
    /// Named objects, by their name and the message that they are bound to.
    named: HashMap<(Reference, String), ObjectId>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(
        lexicons: &'a Lexicons,
        nsid: &'a str,
        roles: Roles,
        problems: &'a mut Vec<String>,
    ) -> Self {
        Self { lexicons, nsid, roles, problems, objects: Vec::new(), named: HashMap::new() }
    }

    /// The bound objects.
    pub(super) fn finish(self) -> Vec<Object> {
        let bound = |object: Option<Object>| object.expect("every object that was started has been bound");
        self.objects.into_iter().map(bound).collect()
    }

    /// Adds a problem at `location`, a path like `input.url`.
    pub(super) fn report(&mut self, location: &str, problem: &str) {
        self.problems.push(format!("{}: {location}: {problem}", self.nsid));
    }

    /// Binds a request message, including its fields with roles.
    pub(super) fn request(
        &mut self,
        location: &str,
        properties: &'a Properties,
        message: &MessageDescriptor,
    ) -> Request {
        let mut reserved = Vec::new();
        let mut caller = None;
        let mut presence = None;
        for field in message.fields() {
            let (target, fits, rule) = match self.roles.of(&field) {
                Ok(Role::Caller) => {
                    let fits = !field.is_list() && field.kind() == Kind::String;
                    (&mut caller, fits, "the role CALLER belongs on one string field")
                }
                Ok(Role::Presence) => {
                    let fits = !field.is_list() && types::is_field_mask(&field.kind());
                    (&mut presence, fits, "the role PRESENCE belongs on one google.protobuf.FieldMask field")
                }
                Ok(Role::Unspecified) | Err(_) => continue,
            };
            let first = target.is_none();
            reserved.push(field.number());
            *target = Some(field.clone());
            if !(first && fits) || types::in_oneof(&field) {
                self.report(location, &format!("`{}`: {rule}", field.full_name()));
            }
        }
        let object = self.object(location, properties, message, &reserved);
        Request { object, caller, presence }
    }

    /// Binds an object to a message. The client can't set the fields with the numbers `reserved`.
    pub(super) fn object(
        &mut self,
        location: &str,
        properties: &'a Properties,
        message: &MessageDescriptor,
        reserved: &[u32],
    ) -> ObjectId {
        let id = ObjectId::next(&self.objects);
        self.objects.push(None);
        self.bind_fields(id, location, properties, message, reserved);
        id
    }

    /// `schema`, or the schema that it refers to. `None` if that is not supported.
    pub(super) fn resolve(&mut self, location: &str, schema: &'a Schema) -> Option<&'a Schema> {
        match &schema.kind {
            Type::Unsupported(kind) => {
                self.report(location, &format!("the type `{kind}` is not served"));
                None
            }
            Type::Ref(reference) => match self.lexicons.resolve(reference) {
                Some(
                    Definition::Schema(Schema { description: _, kind: Type::Unsupported(kind) })
                    | Definition::Unsupported(kind),
                ) => {
                    self.report(location, &format!("{reference}: the type `{kind}` is not served"));
                    None
                }
                Some(Definition::Schema(schema)) => Some(schema),
                Some(Definition::Query(_) | Definition::Procedure(_)) => {
                    self.report(location, &format!("{reference} is a method, not a type"));
                    None
                }
                None => {
                    self.report(location, &format!("{reference}: no document defines it"));
                    None
                }
            },
            _ => Some(schema),
        }
    }

    fn bind_fields(
        &mut self,
        id: ObjectId,
        location: &str,
        properties: &'a Properties,
        message: &MessageDescriptor,
        reserved: &[u32],
    ) {
        let Properties { required, nullable, properties } = properties;
        for name in nullable {
            self.report(&format!("{location}.{name}"), "nullable is not served");
        }
        let mut proto_fields = self.proto_fields(location, message, reserved);
        let mut fields = Vec::new();
        for (name, schema) in properties {
            let location = format!("{location}.{name}");
            let Some(field) = proto_fields.remove(name) else {
                self.report(&location, &format!("no field of `{}` carries it", message.full_name()));
                continue;
            };
            let required = required.contains(name);
            fields.extend(self.field(&location, name, required, schema, field));
        }
        for (name, field) in proto_fields {
            self.report(
                &format!("{location}.{name}"),
                &format!("the lexicon has no such field, but the proto has `{}`", field.full_name()),
            );
        }
        id.put(&mut self.objects, Object { descriptor: message.clone(), fields });
    }

    /// The fields of `message` by their lexicon names.
    fn proto_fields(
        &mut self,
        location: &str,
        message: &MessageDescriptor,
        reserved: &[u32],
    ) -> BTreeMap<String, FieldDescriptor> {
        let mut proto_fields = BTreeMap::new();
        for field in message.fields().filter(|field| !reserved.contains(&field.number())) {
            match self.roles.of(&field) {
                Ok(Role::Unspecified) => {
                    // The names are unique: a descriptor pool refuses names that differ only in case and
                    // underscores.
                    proto_fields.insert(types::lower_camel_case(field.name()), field);
                }
                Ok(role) => {
                    let (role, name) = (role.as_str_name(), field.full_name());
                    self.report(location, &format!("`{name}`: the role {role} belongs in a request itself"));
                }
                Err(number) => {
                    let name = field.full_name();
                    self.report(location, &format!("`{name}`: the role {number} is not known"));
                }
            }
        }
        proto_fields
    }

    fn field(
        &mut self,
        location: &str,
        name: &str,
        required: bool,
        schema: &'a Schema,
        field: FieldDescriptor,
    ) -> Option<Field> {
        if types::in_oneof(&field) {
            self.report(location, &format!("`{}` is in a oneof", field.full_name()));
            return None;
        }
        let declared = schema;
        let schema = self.resolve(location, declared)?;
        let shape = match &schema.kind {
            Type::Array(array) if field.is_list() => {
                Shape::List(Box::new(self.value(&format!("{location}[]"), &array.items, &field)?))
            }
            kind if matches!(kind, Type::Array(_)) || field.is_list() || field.is_map() => {
                return self.mismatch(location, schema, &field);
            }
            _ => self.value(location, declared, &field)?,
        };
        if !required && !field.supports_presence() && !field.is_list() {
            let problem = "the lexicon calls it optional, so the proto field must be `optional`";
            self.report(location, &format!("{problem}: `{}`", field.full_name()));
        }
        let default = match defaults::value(schema, &shape) {
            Ok(default) => default,
            Err(problem) => {
                self.report(location, &format!("its default {problem}"));
                None
            }
        };
        Some(Field { name: name.into(), descriptor: field, required, shape, default })
    }

    /// Binds the type of a field that is no list, or of the elements of a list.
    fn value(&mut self, location: &str, declared: &'a Schema, field: &FieldDescriptor) -> Option<Shape> {
        let schema = self.resolve(location, declared)?;
        if field.is_group() {
            return self.mismatch(location, schema, field);
        }
        if let (Type::Object(properties), Kind::Message(message)) = (&schema.kind, field.kind()) {
            let Type::Ref(reference) = &declared.kind else {
                return Some(Shape::Object(self.object(location, properties, &message, &[])));
            };
            let name = (reference.clone(), message.full_name().to_owned());
            if let Some(id) = self.named.get(&name) {
                return Some(Shape::Object(*id));
            }
            let id = ObjectId::next(&self.objects);
            self.objects.push(None);
            self.named.insert(name, id);
            self.bind_fields(id, location, properties, &message, &[]);
            return Some(Shape::Object(id));
        }
        match types::scalar(schema, &field.kind()) {
            Some(shape) => Some(shape),
            None => self.mismatch(location, schema, field),
        }
    }

    fn mismatch<T>(&mut self, location: &str, schema: &Schema, field: &FieldDescriptor) -> Option<T> {
        let (lexicon, proto, name) =
            (types::lexicon_name(schema), types::proto_name(field), field.full_name());
        self.report(location, &format!("{lexicon} can't be carried by {proto}: `{name}`"));
        None
    }
}
