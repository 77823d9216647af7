//! The way of a handler's author in each language: `handler new`, then what the project's README says, which ends with a
//! task that is enqueued and run, in a folder outside of the repository. And what `sdk/README.md` shows beside it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tasq_tests::guests;

/// `$name` is a project's language.
macro_rules! languages {
    ($($name:ident),* $(,)?) => { $(#[test] fn $name() { from_new_to_a_result(stringify!($name)); })* };
}

languages! { rust, python, javascript, typescript, go, c, cpp, zig, assemblyscript }

/// A project's home, and the tools that build it.
struct Author {
    home: tempfile::TempDir,
    path: String,
    toolchain: String,
}

impl Author {
    fn new() -> Author {
        let script =
            |name: &str| answer(Command::new(format!("scripts/{name}")).arg("--offline").current_dir(repository()));
        let toolchain = answer(Command::new("scripts/wasm-toolchain").current_dir(repository()));
        let host = Path::new(env!("CARGO_BIN_EXE_tasq-host")).parent().expect("in a folder").display();
        let (tools, component) = (script("guest-tools"), script("cargo-component"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{host}:{}:{}:{path}", tools.trim(), component.trim());
        Author { home: tempfile::tempdir().expect("a folder"), path, toolchain: toolchain.trim().into() }
    }

    fn run(&self, command: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-ec", command]).current_dir(self.home.path());
        // The host's own build and settings are of no concern to a handler's author.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO") || name.starts_with("TASQ_")) {
            shell.env_remove(name);
        }
        answer(shell.env("PATH", &self.path).env("RUSTUP_TOOLCHAIN", &self.toolchain))
    }
}

fn from_new_to_a_result(language: &str) {
    let author = Author::new();
    let run = |command: &str| author.run(command);
    assert_eq!(run(&format!("tasq-host handler new my-add --lang {language}")), "my-add\n");
    // The command for the unit test stands in build.toml, as its README says; the rest in the README.
    let text = fs::read_to_string(author.home.path().join("my-add/build.toml")).expect("build.toml");
    let steps: toml::Table = toml::from_str(&text).expect("TOML");
    run(&format!("cd my-add && {}", steps["test"].as_str().expect("a command")));
    let block = first_block(&author.home.path().join("my-add/README.md"));
    // The trap is for when a command fails: the worker would hold this test's pipe for ever.
    let said = run(&format!("trap 'kill $! 2>/dev/null || true' EXIT\n{block}kill $!; wait $!"));
    assert!(said.starts_with("wasm/my-add.wasm\n") && said.ends_with(r#"{"result":9}"#), "{said}");
}

/// What a README says is to be typed, word for word.
fn first_block(readme: &Path) -> String {
    let text = fs::read_to_string(readme).expect("a README");
    let (_, block) = text.split_once("```sh\n").expect("commands");
    block[..block.find("```").expect("an end")].to_owned()
}

/// In the languages that have them, what went wrong and where is what `task show` says.
#[test]
fn task_show_has_message_and_stack_of_an_exception_or_a_panic() {
    let author = Author::new();
    for (language, op, first, frame) in [
        ("python", "boom", "RuntimeError: no such größe", " in boom"),
        ("javascript", "boom", "Error: no such größe", "at probe"),
        ("javascript-spidermonkey", "boom", "Error: no such größe", "probe@"),
        ("typescript", "boom", "Error: no such größe", "at probe"),
        ("go", "panic", "nil pointer", "main.probe"),
    ] {
        let project = repository().join("tests/languages").join(language);
        author.run(&format!("tasq-host handler build '{}' --handlers wasm", project.display()));
        let payload = format!(r#"{{"op":"{op}","message":"no such größe"}}"#);
        let id = author.run(&format!("tasq-host enqueue {language} '{payload}' --max-retries 0"));
        // A task died, which is its exit status.
        author.run("tasq-host run --handlers wasm --until-empty || [ $? = 1 ]");
        let shown = author.run(&format!("tasq-host task show {id}"));
        assert!(shown.contains(first) && shown.contains(frame), "{language}: {shown}");
    }
}

/// What takes seconds to compile is told of, once: the next start finds it in the cache.
#[test]
fn a_second_start_compiles_nothing() {
    let author = Author::new();
    author.run(
        "tasq-host handler new report --lang javascript && tasq-host handler build report --handlers wasm --cache built",
    );
    let start = |command: &str| author.run(&format!("tasq-host {command} --cache cache 2>&1"));
    assert!(start("handler precompile wasm --json").contains(r#""compiled":true"#));
    assert!(start("handler precompile wasm --json").contains(r#""compiled":false"#));
    let said = start("run --handlers wasm --until-empty");
    assert!(said.contains("report") && !said.contains("compil"), "{said}");
}

#[test]
fn cargo_component_builds_the_project_in_rust() {
    let author = Author::new();
    author.run("tasq-host handler new my-add --lang rust");
    author.run("cd my-add && cargo component build --release");
    let built = "my-add/target/wasm32-wasip1/release/my_add.wasm";
    let result = author.run(&format!(r#"tasq-host handler run {built} '{{"arg1":5,"arg2":4}}'"#));
    assert_eq!(result, r#"{"result":9}"#);
}

/// As sdk/README.md says it, word for word.
#[test]
fn cargo_component_builds_a_crate_of_its_own_making() {
    let author = Author::new();
    let readme = fs::read_to_string(repository().join("sdk/README.md")).expect("text");
    let block = |start: &str| {
        let from = readme.find(start).unwrap_or_else(|| panic!("sdk/README.md has no block that begins with {start}"));
        let block = &readme[from + start.lines().next().expect("a line").len()..];
        block[..block.find("```").expect("an end")].trim_start()
    };
    fs::create_dir(author.home.path().join("wit")).expect("a folder");
    fs::copy(repository().join("wit/handler.wit"), author.home.path().join("wit/handler.wit")).expect("a copy");
    let commands = block("```sh\ncargo component new");
    let (make, build) = commands.split_once("cd shout\n").expect("two halves");
    author.run(make);
    fs::write(author.home.path().join("shout/src/lib.rs"), block("```rust\n#[allow(warnings)]\nmod bindings;"))
        .expect("code");
    author.run(&format!("cd shout\n{build}"));
    let result = author.run("tasq-host handler run shout/target/wasm32-wasip1/release/shout.wasm größe");
    assert_eq!(result, "GRÖSSE");
}

/// The chain of sdk/README.md, word for word: TypeScript, then Rust, then C.
#[test]
fn a_chain_goes_through_three_languages() {
    let author = Author::new();
    let wasm = author.home.path().join("wasm");
    fs::create_dir(&wasm).expect("a folder");
    fs::copy(guests::example("markdown"), wasm.join("markdown.wasm")).expect("a copy");
    for example in ["typescript/render", "c/text-stats"] {
        author.run(&format!("tasq-host handler build '{}/examples/{example}' --handlers wasm", repository().display()));
    }
    let readme = fs::read_to_string(repository().join("sdk/README.md")).expect("text");
    let from = readme.find("tasq-host enqueue render").expect("the chain");
    let enqueue = readme[from..].lines().next().expect("a line");
    let id = author.run(enqueue);
    author.run("tasq-host run --handlers wasm --until-empty");
    let step = |step: &str| author.run(&format!("tasq-host task wait {}/{step}", id.trim()));
    assert_eq!(step("s1"), "# Dear Zoë\n\n- tea\n- milk\n");
    assert_eq!(step("s2"), "<h1>Dear Zoë</h1>\n<ul>\n<li>tea</li>\n<li>milk</li>\n</ul>\n");
    let counted = author.run(&format!("tasq-host task wait {id}"));
    assert!(counted.starts_with(r#"{"lines":5,"words":12,"#), "{counted}");
}

#[test]
fn an_example_whose_links_lead_out_of_it_is_built_where_it_is() {
    let author = Author::new();
    let example = repository().join("examples/javascript/add");
    let built = author.run(&format!("tasq-host handler build '{}' --handlers wasm", example.display()));
    assert_eq!(built, "wasm/add.wasm\n");
    assert_eq!(author.run(r#"tasq-host handler run wasm/add.wasm '{"arg1":5,"arg2":4}'"#), r#"{"result":9}"#);
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What it said on stdout; it must succeed.
fn answer(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("it prints text")
}
