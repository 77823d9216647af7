//! Who said what: flags before the environment, that before the file, and that before the defaults.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::Misconfigured;
use super::keys::{Fallback, KEYS, Key};

/// Values by the names of their keys, as they were written, and already found to be what their keys want.
pub(crate) type Layer = BTreeMap<&'static str, Vec<OsString>>;

/// What the environment says, unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// By the names of keys; one text each, lists too.
    pub(crate) values: BTreeMap<&'static str, OsString>,
    pub(crate) config: Option<OsString>,
    pub(crate) xdg_cache_home: Option<OsString>,
    pub(crate) home: Option<OsString>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf),
    Default,
}

/// A key's value, and who said it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static Key,
    /// None where nobody has said it, and nothing is the default.
    pub(crate) texts: Option<Vec<OsString>>,
    pub(crate) origin: Origin,
}

/// Every key's, in the order of the table.
#[derive(Clone, Debug)]
pub(crate) struct Settings(pub(crate) Vec<Setting>);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "--{flag}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::File(file) => write!(f, "{}", file.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

impl Environment {
    /// Reads the process's environment. A variable that is set to nothing counts as not set.
    pub(crate) fn read() -> Environment {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Environment {
            values: KEYS.iter().filter_map(|key| Some((key.name, read(key.variable)?))).collect(),
            config: read("TASQ_CONFIG"),
            xdg_cache_home: read("XDG_CACHE_HOME"),
            home: read("HOME"),
        }
    }

    /// Where compiled handlers are kept unless someone says otherwise; none where there is no home.
    pub(crate) fn cache(&self) -> Option<OsString> {
        // XDG: a relative path is to be ignored.
        let xdg = self.xdg_cache_home.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
        let home = xdg.or_else(|| self.home.as_ref().map(|home| Path::new(home).join(".cache")))?;
        Some(home.join("tasq-host").into())
    }

    fn value(&self, key: &Key) -> Result<Option<Vec<OsString>>, Misconfigured> {
        let Some(value) = self.values.get(key.name) else { return Ok(None) };
        let texts = match value.to_str() {
            Some(list) if key.kind.is_list() => {
                list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(OsString::from).collect()
            }
            _ => vec![value.clone()],
        };
        texts
            .iter()
            .try_for_each(|text| check(key, text))
            .map_err(|problem| Misconfigured::of(key.variable, problem))?;
        Ok(Some(texts))
    }
}

/// Why `text` is no value of `key`.
pub(crate) fn check(key: &Key, text: &OsStr) -> Result<(), String> {
    let Some(text) = text.to_str() else {
        let is_path = key.kind == super::values::Kind::Folder;
        return if is_path { Ok(()) } else { Err("expected a text, found bytes that are no UTF-8".into()) };
    };
    // Some of them name what they found already.
    let wrong = |problem: String| match problem.starts_with("expected") && !problem.contains("found") {
        true => format!("{problem}, found {text:?}"),
        false => problem,
    };
    key.kind.check(text).map_err(wrong)
}

impl Settings {
    /// flags.or(environment).or(file).or(defaults), key by key.
    pub(crate) fn merge(
        mut flags: Layer,
        environment: &Environment,
        file: Option<(PathBuf, Layer)>,
    ) -> Result<Settings, Misconfigured> {
        let (path, mut file) = file.unwrap_or_default();
        let settings = KEYS.iter().map(|key| {
            let typed = key.flag.and_then(|flag| Some((flags.remove(key.name)?, Origin::Flag(flag))));
            // Looked at in any case: a flag doesn't make a bad variable good.
            let variable = environment.value(key)?.map(|texts| (texts, Origin::Variable(key.variable)));
            let written = file.remove(key.name).map(|texts| (texts, Origin::File(path.clone())));
            let said = typed.or(variable).or(written);
            let fallback = || match key.default {
                Fallback::Is(text) => Some(vec![text.into()]),
                Fallback::Found(find, _) => find(environment).map(|text| vec![text]),
                Fallback::Nothing(_) => None,
            };
            let (texts, origin) = match said {
                Some((texts, origin)) => (Some(texts), origin),
                None => (fallback(), Origin::Default),
            };
            Ok(Setting { key, texts, origin })
        });
        Ok(Settings(settings.collect::<Result<_, _>>()?))
    }

    pub(crate) fn of(&self, name: &str) -> &Setting {
        self.0.iter().find(|setting| setting.key.name == name).expect("a key that the code asks for is in the table")
    }

    /// The value of `name`, by its `parser`; none where there is none.
    pub(crate) fn one<T, E: fmt::Display>(
        &self,
        name: &str,
        parser: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Misconfigured> {
        Ok(self.all(name, parser)?.and_then(|values| values.into_iter().next_back()))
    }

    /// The values of the list `name`; none where nobody has said it.
    pub(crate) fn all<T, E: fmt::Display>(
        &self,
        name: &str,
        parser: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, Misconfigured> {
        let setting = self.of(name);
        let parse = |text: &OsString| {
            parser(&text.to_string_lossy()).map_err(|problem| setting.misconfigured(problem.to_string()))
        };
        setting.texts.as_ref().map(|texts| texts.iter().map(parse).collect()).transpose()
    }

    /// The flags, as an environment says them: for another process that is to have the same settings.
    pub(crate) fn typed(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let typed = self.0.iter().filter(|setting| matches!(setting.origin, Origin::Flag(_)));
        typed.filter_map(|setting| Some((setting.key.variable, setting.texts.as_ref()?.join(OsStr::new(",")))))
    }

    /// The path `name`, whatever bytes it has.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.of(name).texts.as_ref()?.last().map(PathBuf::from)
    }
}

impl Setting {
    /// It can't be used, for this reason.
    pub(crate) fn misconfigured(&self, problem: String) -> Misconfigured {
        match &self.origin {
            Origin::File(file) => Misconfigured::of(file.display(), format!("{}: {problem}", self.key.name)),
            origin => Misconfigured::of(origin, problem),
        }
    }
}
