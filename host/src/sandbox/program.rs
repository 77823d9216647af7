//! What a file turned out to be once it is compiled and linked: a program that can be run.

use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, ExternType, InstancePre, Linker, Module};
use wasmtime_wasi::p2::bindings::CommandPre;

use super::handlers::{one_line, refuse};
use super::imports::{self, EXPORT, Mismatch, State, TaskHandlerPre, check_export, survey, survey_module};
use super::manifest::Grants;
use super::{Access, Import, Needs, Refusal};

/// Ready to be instantiated.
pub(super) enum Program {
    /// A component of the contract.
    Handler(TaskHandlerPre<State>),
    /// A component that is a command of WASI 0.2.
    Command(CommandPre<State>),
    /// A core module that is a command of WASI preview 1.
    Module(InstancePre<State>),
}

/// Compiled, and not linked yet.
pub(super) enum Code {
    Component(Component),
    Module(Module),
}

impl Code {
    /// Everything that it imports, and what becomes of it.
    pub(super) fn imports(&self, engine: &Engine, grants: &Grants) -> Vec<Import> {
        match self {
            Code::Component(component) => survey(engine, component, grants),
            Code::Module(module) => survey_module(module),
        }
    }

    /// Everything that it exports; of a module, its functions.
    pub(super) fn exports(&self, engine: &Engine) -> Vec<String> {
        match self {
            Code::Component(component) => {
                component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
            }
            Code::Module(module) => {
                let functions = module.exports().filter(|export| export.ty().func().is_some());
                functions.map(|export| export.name().to_owned()).collect()
            }
        }
    }

    /// None where it depends on what is imported.
    pub(super) fn needs(&self, core_instances: u32) -> Option<Needs> {
        let required = match self {
            Code::Component(component) => component.resources_required()?,
            Code::Module(module) => module.resources_required(),
        };
        let initial_memory = required.max_initial_memory_size.unwrap_or(0).saturating_mul(64 << 10);
        Some(Needs { core_instances, memories: required.num_memories, initial_memory, tables: required.num_tables })
    }

    /// The most memory that it begins with, in bytes.
    pub(super) fn initial_memory(&self) -> u64 {
        self.needs(1).map_or(0, |needs| needs.initial_memory)
    }
}

/// Both linkers, with everything that a file may import.
pub(super) struct Linkers {
    components: wasmtime::component::Linker<State>,
    modules: Linker<State>,
}

/// So many exports are named where the right one is missing.
const NAMED: usize = 5;

impl Linkers {
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Linkers> {
        let mut modules = Linker::new(engine);
        wasmtime_wasi::p1::add_to_linker_async(&mut modules, State::preview1)?;
        Ok(Linkers { components: imports::linker(engine)?, modules })
    }

    pub(super) fn link(&self, engine: &Engine, file: &Path, code: &Code) -> Result<Program, Refusal> {
        // What is refused is so whatever a manifest grants.
        let imports = code.imports(engine, &Grants::default()).into_iter();
        let refused: Vec<String> =
            imports.filter(|import| import.access == Access::Refused).map(|import| import.interface).collect();
        if !refused.is_empty() {
            let reason = format!("imports what no handler gets: {}", refused.join(", "));
            let hint = "`tasq-host handler check` shows every import and what becomes of it".to_owned();
            return Err(Refusal { hint: Some(hint), ..refuse(file, reason) });
        }
        match code {
            Code::Component(component) => self.link_component(file, component, &code.exports(engine)),
            Code::Module(module) => self.link_module(file, module, &code.exports(engine)),
        }
    }

    fn link_component(&self, file: &Path, component: &Component, exports: &[String]) -> Result<Program, Refusal> {
        let unlinked = |error| refuse(file, format!("can't be linked: {}", one_line(&error)));
        let pre = self.components.instantiate_pre(component).map_err(unlinked)?;
        let mismatch = match check_export(&pre) {
            Ok(()) => return TaskHandlerPre::new(pre).map(Program::Handler).map_err(unlinked),
            Err(mismatch) => mismatch,
        };
        let reason = match mismatch {
            Mismatch::Missing if exports.iter().any(|name| name.starts_with("wasi:cli/run@0.2.")) => {
                return CommandPre::new(pre).map(Program::Command).map_err(unlinked);
            }
            Mismatch::Missing => {
                let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
                format!("expected an export {EXPORT} or wasi:cli/run@0.2, found {found}")
            }
            Mismatch::Type(error) => {
                format!("expected a `handle` of the contract's type, found another: {}", one_line(&error))
            }
        };
        let hint = "build it for the world `task-handler` of wit/handler.wit".to_owned();
        Err(Refusal { hint: Some(hint), ..refuse(file, reason) })
    }

    fn link_module(&self, file: &Path, module: &Module, exports: &[String]) -> Result<Program, Refusal> {
        let is_start =
            |item: ExternType| item.func().is_some_and(|start| start.params().len() == 0 && start.results().len() == 0);
        if !module.get_export("_start").is_some_and(is_start) {
            let found = match exports {
                [] => "no function".to_owned(),
                names => names[..names.len().min(NAMED)].join(", "),
            };
            let reason = format!("a core module: expected an export {EXPORT}#handle or _start, found {found}");
            let hint = "build a program with a `main`, or export the contract's `handle` as the templates of `tasq-host handler new` do";
            return Err(Refusal { hint: Some(hint.into()), ..refuse(file, reason) });
        }
        let pre = self.modules.instantiate_pre(module);
        pre.map(Program::Module).map_err(|error| refuse(file, format!("can't be linked: {}", one_line(&error))))
    }
}
