//! Objects of a lexicon against messages of a proto: partners, types, presence and roles.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use proto::xrpc::Role;

use super::Request;
use super::defaults;
use super::rpc::Roles;
use super::shape::{Field, Object, ObjectId, Shape};
use super::types;
use crate::lexicon::Lexicons;
use crate::lexicon::schema::{Definition, Object as Properties, Reference, Schema};

/// Binds the objects of one method, and collects what does not fit.
pub(super) struct Binder<'a> {
    lexicons: &'a Lexicons,
    nsid: &'a str,
    roles: Roles,
    problems: &'a mut Vec<String>,
    /// `None` while an object's own fields are being bound: it may refer to itself.
    objects: Vec<Option<Object>>,
    /// Objects that have a name, by it and by the message that carries them there.
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

    /// The objects that were bound.
    pub(super) fn finish(self) -> Vec<Object> {
        let filled = |object: Option<Object>| object.expect("an object that was begun has been filled");
        self.objects.into_iter().map(filled).collect()
    }

    /// Notes that something at `place` (`input.url`) does not fit.
    pub(super) fn refuse(&mut self, place: &str, problem: &str) {
        self.problems.push(format!("{}: {place}: {problem}", self.nsid));
    }

    /// Binds a request message, fields with roles included.
    pub(super) fn request(
        &mut self,
        place: &str,
        properties: &'a Properties,
        message: &MessageDescriptor,
    ) -> Request {
        let mut filled = Vec::new();
        let mut caller = None;
        let mut presence = None;
        for field in message.fields() {
            let (slot, fits, rule) = match self.roles.of(&field) {
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
            let first = slot.is_none();
            filled.push(field.number());
            *slot = Some(field.clone());
            if !(first && fits) || types::in_oneof(&field) {
                self.refuse(place, &format!("`{}`: {rule}", field.full_name()));
            }
        }
        let object = self.object(place, properties, message, &filled);
        Request { object, caller, presence }
    }

    /// Binds an object to the message that carries it. `filled` are the numbers of fields that the gateway fills in.
    pub(super) fn object(
        &mut self,
        place: &str,
        properties: &'a Properties,
        message: &MessageDescriptor,
        filled: &[u32],
    ) -> ObjectId {
        let id = ObjectId::next(&self.objects);
        self.objects.push(None);
        self.fill(id, place, properties, message, filled);
        id
    }

    /// What `schema` stands for: itself, or what it refers to. `None` when that is nothing that is served.
    pub(super) fn resolve(&mut self, place: &str, schema: &'a Schema) -> Option<&'a Schema> {
        match schema {
            Schema::Unserved(kind) => {
                self.refuse(place, &format!("the type `{kind}` is not served"));
                None
            }
            Schema::Ref(reference) => match self.lexicons.resolve(reference) {
                Some(Definition::Schema(Schema::Unserved(kind)) | Definition::Unserved(kind)) => {
                    self.refuse(place, &format!("{reference}: the type `{kind}` is not served"));
                    None
                }
                Some(Definition::Schema(schema)) => Some(schema),
                Some(Definition::Query(_) | Definition::Procedure(_)) => {
                    self.refuse(place, &format!("{reference} is a method, not a type"));
                    None
                }
                None => {
                    self.refuse(place, &format!("{reference}: no document defines it"));
                    None
                }
            },
            schema => Some(schema),
        }
    }

    fn fill(
        &mut self,
        id: ObjectId,
        place: &str,
        properties: &'a Properties,
        message: &MessageDescriptor,
        filled: &[u32],
    ) {
        let Properties { required, nullable, properties } = properties;
        for name in nullable {
            self.refuse(&format!("{place}.{name}"), "nullable is not served");
        }
        let mut partners = self.partners(place, message, filled);
        let mut fields = Vec::new();
        for (name, schema) in properties {
            let place = format!("{place}.{name}");
            let Some(field) = partners.remove(name) else {
                self.refuse(&place, &format!("no field of `{}` carries it", message.full_name()));
                continue;
            };
            let required = required.contains(name);
            fields.extend(self.field(&place, name, required, schema, field));
        }
        for (name, field) in partners {
            self.refuse(
                &format!("{place}.{name}"),
                &format!("the lexicon has no such field, but the proto has `{}`", field.full_name()),
            );
        }
        id.put(&mut self.objects, Object { descriptor: message.clone(), fields });
    }

    /// The fields of `message` by the names that a lexicon has for them.
    fn partners(
        &mut self,
        place: &str,
        message: &MessageDescriptor,
        filled: &[u32],
    ) -> BTreeMap<String, FieldDescriptor> {
        let mut partners = BTreeMap::new();
        for field in message.fields().filter(|field| !filled.contains(&field.number())) {
            match self.roles.of(&field) {
                Ok(Role::Unspecified) => {
                    // No two share it: a descriptor pool refuses names that differ in case and underscores only.
                    partners.insert(types::lower_camel_case(field.name()), field);
                }
                Ok(role) => {
                    let (role, name) = (role.as_str_name(), field.full_name());
                    self.refuse(place, &format!("`{name}`: the role {role} belongs in a request itself"));
                }
                Err(number) => {
                    let name = field.full_name();
                    self.refuse(place, &format!("`{name}`: the role {number} is not known"));
                }
            }
        }
        partners
    }

    fn field(
        &mut self,
        place: &str,
        name: &str,
        required: bool,
        schema: &'a Schema,
        field: FieldDescriptor,
    ) -> Option<Field> {
        if types::in_oneof(&field) {
            self.refuse(place, &format!("`{}` is in a oneof", field.full_name()));
            return None;
        }
        let written = schema;
        let schema = self.resolve(place, written)?;
        let shape = match schema {
            Schema::Array(items) if field.is_list() => {
                Shape::List(Box::new(self.value(&format!("{place}[]"), items, &field)?))
            }
            _ if matches!(schema, Schema::Array(_)) || field.is_list() || field.is_map() => {
                return self.mismatch(place, schema, &field);
            }
            _ => self.value(place, written, &field)?,
        };
        if !required && !field.supports_presence() && !field.is_list() {
            let problem = "the lexicon calls it optional, so the proto field must be `optional`";
            self.refuse(place, &format!("{problem}: `{}`", field.full_name()));
        }
        let default = match defaults::value(schema, &shape) {
            Ok(default) => default,
            Err(problem) => {
                self.refuse(place, &format!("its default {problem}"));
                None
            }
        };
        Some(Field { name: name.into(), descriptor: field, required, shape, default })
    }

    /// A value that is no list: a field, or an element of one.
    fn value(&mut self, place: &str, written: &'a Schema, field: &FieldDescriptor) -> Option<Shape> {
        let schema = self.resolve(place, written)?;
        if field.is_group() {
            return self.mismatch(place, schema, field);
        }
        if let (Schema::Object(properties), Kind::Message(message)) = (schema, field.kind()) {
            let Schema::Ref(reference) = written else {
                return Some(Shape::Object(self.object(place, properties, &message, &[])));
            };
            let name = (reference.clone(), message.full_name().to_owned());
            if let Some(id) = self.named.get(&name) {
                return Some(Shape::Object(*id));
            }
            let id = ObjectId::next(&self.objects);
            self.objects.push(None);
            self.named.insert(name, id);
            self.fill(id, place, properties, &message, &[]);
            return Some(Shape::Object(id));
        }
        match types::scalar(schema, &field.kind()) {
            Some(shape) => Some(shape),
            None => self.mismatch(place, schema, field),
        }
    }

    fn mismatch<T>(&mut self, place: &str, schema: &Schema, field: &FieldDescriptor) -> Option<T> {
        let (lexicon, proto, name) =
            (types::lexicon_name(schema), types::proto_name(field), field.full_name());
        self.refuse(place, &format!("{lexicon} can't be carried by {proto}: `{name}`"));
        None
    }
}
