//! `--print-config`: every setting, and who said it.

use serde::Serialize;

use super::error::Error;
use super::output;
use crate::config::{Config, Fallback, Kind, Origin, Setting};

/// A line of `--print-config --json`.
#[derive(Serialize)]
struct SettingView {
    key: &'static str,
    /// A text, a number, true or false, or an array of texts; absent where nobody has said it and nothing is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// `flag`, `environment`, `file` or `default`.
    origin: &'static str,
    /// The flag, the variable or the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u32),
    Switch(bool),
    List(Vec<String>),
}

/// Prints all of it; passwords are left out.
pub(crate) fn run(config: &Config, json: bool) -> Result<(), Error> {
    if json {
        return Ok(config.settings.0.iter().try_for_each(|setting| output::json(&SettingView::of(setting)))?);
    }
    let head = ["KEY", "VALUE", "FROM"].map(String::from).to_vec();
    let rows = std::iter::once(head).chain(config.settings.0.iter().map(row));
    output::line(&output::table(&rows.collect::<Vec<_>>()))?;
    match &config.file {
        None => output::note("no tasq.toml here, and no --config"),
        Some(file) => output::note(&format!("read {}", output::one_line(&file.display().to_string()))),
    }
    Ok(())
}

impl SettingView {
    fn of(setting: &Setting) -> SettingView {
        let value = setting.values().map(|values| Value::of(setting.key.kind, values));
        let (origin, source) = match &setting.origin {
            Origin::Flag(_) => ("flag", Some(setting.origin.to_string())),
            Origin::Variable(_) => ("environment", Some(setting.origin.to_string())),
            Origin::File(_) => ("file", Some(setting.origin.to_string())),
            Origin::Default => ("default", None),
        };
        SettingView { key: setting.key.name, value, origin, source }
    }
}

impl Value {
    /// As it would be written in the file.
    fn of(kind: Kind, mut values: Vec<String>) -> Value {
        if kind.is_list() {
            return Value::List(values);
        }
        let text = values.pop().unwrap_or_default();
        let (number, switch) = (text.parse(), text.parse());
        match (kind, number, switch) {
            (Kind::Number(..), Ok(number), _) => Value::Number(number),
            (Kind::Switch, _, Ok(switch)) => Value::Switch(switch),
            _ => Value::Text(text),
        }
    }
}

fn row(setting: &Setting) -> Vec<String> {
    let origin = match (&setting.origin, &setting.key.default) {
        (Origin::Default, Fallback::Found(_, what) | Fallback::Nothing(what)) => format!("default: {what}"),
        (origin, _) => output::one_line(&origin.to_string()),
    };
    vec![setting.key.name.into(), output::one_line(&setting.shown()), origin]
}
