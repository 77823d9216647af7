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
    /// What would set it from the environment.
    variable: &'static str,
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
    let (path, origin) = &config.file;
    let path = path.as_ref().map(|path| path.display().to_string());
    if json {
        let (said, source) = said(origin);
        let value = path.map(Value::Text);
        output::json(&SettingView { key: "config", value, origin: said, source, variable: "TASQ_CONFIG" })?;
        return Ok(config.settings.0.iter().try_for_each(|setting| output::json(&SettingView::of(setting)))?);
    }
    let head = ["KEY", "VALUE", "FROM", "VARIABLE"].map(String::from).to_vec();
    let shown = path.as_deref().map_or_else(|| "-".into(), output::one_line);
    let from = match origin {
        Origin::Default => "default: tasq.toml if it is there".into(),
        origin => origin.to_string(),
    };
    let file = vec!["config".into(), shown, from, "TASQ_CONFIG".into()];
    let rows = [head, file].into_iter().chain(config.settings.0.iter().map(row));
    Ok(output::line(&output::table(&rows.collect::<Vec<_>>()))?)
}

/// The sort of origin, and its name.
fn said(origin: &Origin) -> (&'static str, Option<String>) {
    let name = Some(origin.to_string());
    match origin {
        Origin::Flag(_) => ("flag", name),
        Origin::Variable(_) => ("environment", name),
        Origin::File(_) => ("file", name),
        Origin::Default => ("default", None),
    }
}

impl SettingView {
    fn of(setting: &Setting) -> SettingView {
        let value = setting.values().map(|values| Value::of(setting.key.kind, values));
        let (origin, source) = said(&setting.origin);
        SettingView { key: setting.key.name, value, origin, source, variable: setting.key.variable }
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
    vec![setting.key.name.into(), output::one_line(&setting.shown()), origin, setting.key.variable.into()]
}
