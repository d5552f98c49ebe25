//! JSON Schema of the file.

use serde_json::{Map, Value, json};

use crate::shape::format::Format;
use crate::shape::{self, Key, Kind, Shape};

/// JSON Schema (draft 2020-12) of `doorstep.toml`, for editors.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut root = table(&shape::FILE, &mut definitions);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("doorstep.toml");
    root["$defs"] = Value::Object(definitions);
    root
}

fn table(shape: &'static Shape, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in shape.keys() {
        let mut property = of(&key.kind, definitions);
        describe(&mut property, key);
        properties.insert(key.name.to_owned(), property);
    }
    let mut table = json!({
        "type": "object",
        "description": shape.about,
        "properties": properties,
        "additionalProperties": false,
    });
    let required: Vec<&str> = shape.keys().filter(|key| key.required).map(|key| key.name).collect();
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn describe(property: &mut Value, key: &Key) {
    let mut about = key.about.to_owned();
    if !key.default.is_empty() {
        about.push_str("\nDefault: ");
        about.push_str(key.default);
    }
    if !key.example.is_empty() {
        about.push_str("\nExample: ");
        about.push_str(key.example);
    }
    property["description"] = json!(about);
}

fn of(kind: &'static Kind, definitions: &mut Map<String, Value>) -> Value {
    match kind {
        Kind::Text(format) | Kind::Secret(format) => text(format, true),
        Kind::Shell => json!({ "type": "string", "minLength": 1 }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer(least, most) => {
            let mut number = json!({ "type": "integer" });
            if *least != i64::MIN {
                number["minimum"] = json!(least);
                number["maximum"] = json!(most);
            }
            number
        }
        Kind::Word(words) => json!({ "enum": words }),
        Kind::List(kind) => json!({ "type": "array", "items": of(kind, definitions) }),
        Kind::Many(kind) => {
            let one = of(kind, definitions);
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Kind::Table(shape) => {
            if !definitions.contains_key(shape.name) {
                definitions.insert(shape.name.to_owned(), Value::Null);
                let definition = table(shape, definitions);
                definitions.insert(shape.name.to_owned(), definition);
            }
            json!({ "$ref": format!("#/$defs/{}", shape.name) })
        }
        Kind::Map { names, value, .. } => {
            let mut map = json!({ "type": "object", "additionalProperties": of(value, definitions) });
            if let Some(pattern) = names.pattern {
                map["propertyNames"] = json!({ "pattern": pattern });
            }
            map
        }
        Kind::Either(kinds) => {
            let all: Vec<Value> = kinds.iter().map(|kind| of(kind, definitions)).collect();
            json!({ "anyOf": all })
        }
    }
}

/// A text with a variable in it can become anything, whatever the pattern.
fn text(format: &Format, variables: bool) -> Value {
    match format.pattern {
        None => json!({ "type": "string" }),
        Some(pattern) if variables => json!({ "type": "string", "pattern": format!("{pattern}|\\$\\{{|^file:") }),
        Some(pattern) => json!({ "type": "string", "pattern": pattern }),
    }
}
