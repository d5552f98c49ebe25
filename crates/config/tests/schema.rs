//! The JSON Schema, the reference and the parser say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All good files of the fixtures, and the examples.
fn good_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["fixtures/good", "fixtures/good/includes", "fixtures/good/includes/sites"]
        .into_iter()
        .flat_map(|folder| fs::read_dir(home().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    let examples = fs::read_dir(home().join("../../examples")).unwrap();
    files.extend(examples.map(|entry| entry.unwrap().path().join("doorstep.toml")).filter(|path| path.exists()));
    files
}

fn as_json(text: &str) -> Value {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn good_files_are_valid_and_use_every_key() {
    let schema = doorstep_config::schema();
    let mut validator = Validator { schema: &schema, used: BTreeSet::new() };
    for path in good_files() {
        let text = fs::read_to_string(&path).unwrap();
        let result = validator.check(&as_json(&text), &schema, "");
        assert_eq!(result, Ok(()), "{}", path.display());
    }
    let never: Vec<&String> = all_keys(&schema).into_iter().filter(|key| !validator.used.contains(*key)).collect();
    assert!(never.is_empty(), "in no good fixture: {never:?}");
}

#[test]
fn what_the_parser_refuses_for_its_form_the_schema_refuses_too() {
    let schema = doorstep_config::schema();
    for name in ["unknown-key", "wrong-type", "wrong-place", "balance", "log", "headers", "numbers"] {
        let text = fs::read_to_string(home().join(format!("fixtures/bad/{name}.toml"))).unwrap();
        let Ok(table) = text.parse::<toml::Table>() else { continue };
        let mut validator = Validator { schema: &schema, used: BTreeSet::new() };
        assert!(validator.check(&serde_json::to_value(table).unwrap(), &schema, "").is_err(), "{name}");
    }
}

#[test]
fn examples_of_keys_are_valid() {
    let schema = doorstep_config::schema();
    let tables = schema["$defs"].as_object().unwrap().iter().map(|(name, table)| (name.as_str(), table));
    for (name, table) in tables.chain([("file", &schema)]) {
        for (key, property) in table["properties"].as_object().unwrap() {
            let about = property["description"].as_str().unwrap();
            let (_, example) = about.split_once("\nExample: ").unwrap_or_else(|| panic!("{name}.{key} has no example"));
            let mut value = as_json(example);
            // Whatever else the table needs does not matter for the example of one key.
            let mut table = table.clone();
            table.as_object_mut().unwrap().remove("required");
            let mut validator = Validator { schema: &schema, used: BTreeSet::new() };
            assert_eq!(validator.check(&value, &table, name), Ok(()), "{example}");
            assert!(value.as_object_mut().unwrap().contains_key(key), "{example} is not about {key}");
        }
    }
}

#[test]
fn reference_is_current() {
    let path = home().join("../../docs/reference.md");
    let reference = doorstep_config::reference();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, &reference).unwrap();
    }
    let current = fs::read_to_string(&path).unwrap_or_default() == reference;
    assert!(current, "docs/reference.md is old: doorstep schema --markdown > docs/reference.md");
}

#[test]
fn examples_are_understood() {
    let mut examples = 0;
    for entry in fs::read_dir(home().join("../../examples")).unwrap() {
        let path = entry.unwrap().path().join("doorstep.toml");
        if Path::exists(&path) {
            let sources = doorstep_config::Sources::gather(&path);
            let outcome = doorstep_config::parse(&sources, doorstep_config::Privileges::default());
            assert!(outcome.diagnostics.is_empty(), "{}", outcome.render(false));
            examples += 1;
        }
    }
    assert!(examples > 0);
}

fn all_keys(schema: &Value) -> Vec<&String> {
    let tables = schema["$defs"].as_object().unwrap().values().chain([schema]);
    tables.flat_map(|table| table["properties"].as_object().unwrap().keys()).collect()
}

/// As much of JSON Schema as ours uses; anything else in it fails.
struct Validator<'s> {
    schema: &'s Value,
    used: BTreeSet<String>,
}

impl Validator<'_> {
    fn check(&mut self, value: &Value, schema: &Value, at: &str) -> Result<(), String> {
        for (word, wanted) in schema.as_object().unwrap() {
            let well = match word.as_str() {
                "$schema" | "$defs" | "title" | "description" | "properties" => true,
                "$ref" => {
                    let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    let definition = self.schema["$defs"][name].clone();
                    self.check(value, &definition, at)?;
                    true
                }
                "type" => match wanted.as_str().unwrap() {
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("type {other}"),
                },
                "enum" => wanted.as_array().unwrap().contains(value),
                "anyOf" => {
                    let all = wanted.as_array().unwrap();
                    let results: Vec<_> = all.iter().map(|schema| self.check(value, schema, at)).collect();
                    if results.iter().all(Result::is_err) {
                        return Err(format!("{at}: {results:?}"));
                    }
                    true
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.check(item, wanted, at)?;
                    }
                    true
                }
                "pattern" => matches(wanted, value.as_str().unwrap_or_default()),
                "propertyNames" => {
                    value.as_object().into_iter().flatten().all(|(name, _)| matches(&wanted["pattern"], name))
                }
                "required" => wanted.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
                "minimum" => value.as_i64().is_some_and(|value| value >= wanted.as_i64().unwrap()),
                "maximum" => value.as_i64().is_some_and(|value| value <= wanted.as_i64().unwrap()),
                "minLength" => value.as_str().is_some_and(|text| !text.is_empty()),
                "additionalProperties" => {
                    self.properties(value, &schema["properties"], wanted, at)?;
                    true
                }
                other => panic!("the validator does not know {other}"),
            };
            if !well {
                return Err(format!("{at}: {value} is not {word} {wanted}"));
            }
        }
        Ok(())
    }

    fn properties(&mut self, value: &Value, known: &Value, others: &Value, at: &str) -> Result<(), String> {
        for (key, value) in value.as_object().into_iter().flatten() {
            let inner = format!("{at}.{key}");
            match known.get(key) {
                Some(schema) => {
                    self.used.insert(key.clone());
                    self.check(value, schema, &inner)?;
                }
                None if *others == Value::Bool(false) => return Err(format!("{inner} is not known")),
                None => self.check(value, others, &inner)?,
            }
        }
        Ok(())
    }
}

/// The patterns of the schema mean the same for `regex` as for editors.
fn matches(pattern: &Value, text: &str) -> bool {
    regex::Regex::new(pattern.as_str().unwrap()).unwrap().is_match(text)
}
