//! What a test may ask of its cluster.

/// How a cluster is set up. [`Options::default`] preloads `jittask` and syncs nothing to disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether `shared_preload_libraries` names `jittask`, which then must be installed in the server.
    pub preload: bool,
    /// Whether commits are synced to disk. A killed process does not need it, only a power cut would; without it
    /// commits still wait for the operating system, or a crash of the server would lose the last of them.
    pub fsync: bool,
    /// Whether it has a system identifier of its own; clusters of one template share theirs.
    pub own_identity: bool,
    /// Whether the server's clock can be set, by [`crate::Cluster::set_clock`].
    pub clock: bool,
    /// The most address space of each of the server's processes, in kB; then malloc fails.
    pub address_space_kb: Option<u64>,
    /// Server settings, over those of the harness.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            preload: true,
            fsync: false,
            own_identity: false,
            clock: false,
            address_space_kb: None,
            settings: Vec::new(),
        }
    }
}

impl Options {
    /// A server without the extension's library.
    pub fn plain() -> Self {
        Self { preload: false, ..Self::default() }
    }

    /// Limits the address space of each of the server's processes.
    pub fn address_space_kb(mut self, most: u64) -> Self {
        self.address_space_kb = Some(most);
        self
    }

    /// Adds a server setting; the last one of a name counts.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The lines for `postgresql.conf`.
    pub(crate) fn lines(&self) -> String {
        let on_off = |value: bool| if value { "on" } else { "off" };
        let mut text = String::new();
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        line("shared_preload_libraries", if self.preload { "jittask" } else { "" });
        line("fsync", on_off(self.fsync));
        line("full_page_writes", on_off(self.fsync));
        line("max_worker_processes", "16");
        line("max_connections", "60");
        line("timezone", "UTC");
        line("log_timezone", "UTC");
        line("log_line_prefix", "%m [%p] %b %u@%d ");
        line("log_lock_waits", "on");
        line("listen_addresses", "127.0.0.1");
        for (name, value) in &self.settings {
            line(name, value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn settings_are_quoted_and_come_last() {
        let lines = Options::plain().set("search_path", "a'b").set("fsync", "on").lines();
        assert!(lines.ends_with("search_path = 'a''b'\nfsync = 'on'\n"), "{lines}");
        assert!(lines.contains("shared_preload_libraries = ''\n"), "{lines}");
    }
}
