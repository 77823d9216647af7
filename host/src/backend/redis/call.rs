//! A call of a script, before it is sent.

use redis::{Cmd, ToRedisArgs};

use super::wire::Words;

/// A script, and the name under which a server keeps it.
pub(super) struct Script {
    code: String,
    hash: String,
}

impl Script {
    pub(super) fn new(code: String) -> Script {
        Script { hash: redis::Script::new(&code).get_hash().into(), code }
    }
}

/// What a script is to be given. The first key tells a cluster who is to run it: all others are of the same slot.
pub(super) struct Call<'a> {
    script: &'a Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(script: &'a Script) -> Call<'a> {
        Call { script, keys: Vec::new(), args: Vec::new() }
    }

    pub(super) fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    pub(super) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    pub(super) fn words(&mut self, words: Words) {
        self.args.extend(words);
    }

    /// For a server that has the script already.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// For one that hasn't: it keeps it from then on.
    pub(super) fn whole(&self) -> Cmd {
        self.command("EVAL", &self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let bytes: usize = self.keys.iter().chain(&self.args).map(Vec::len).sum();
        let mut command =
            Cmd::with_capacity(3 + self.keys.len() + self.args.len(), name.len() + script.len() + 8 + bytes);
        command.arg(name).arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.args);
        command
    }
}
