//! The project's own source files.

use std::path::{Path, PathBuf};

/// A source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the directory that was asked for.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The project's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// All source files below `dir`, without what builds leave.
pub(crate) fn below(dir: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).expect("source directories can be listed") {
            let path = entry.expect("source directories can be listed").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("names are text");
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                dirs.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("sources are text");
                sources.push(Source { path: path.strip_prefix(dir).expect("it lies below").to_owned(), text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!sources.is_empty(), "no sources below {}", dir.display());
    sources
}

impl Source {
    /// The room: the first part of the path.
    pub(crate) fn room(&self) -> String {
        let first = self.path.iter().next().and_then(|part| part.to_str()).expect("a path has parts");
        first.trim_end_matches(".rs").to_owned()
    }

    /// Whether all of it is tests.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.to_str().expect("names are text");
        ["/tests/", "/testing/"].iter().any(|part| name.contains(part))
            || ["tests.rs", "testing.rs"].iter().any(|end| name.ends_with(end))
    }

    /// The code without comments and without the tests at its end.
    pub(crate) fn code(&self) -> String {
        let text = self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        code.collect::<Vec<_>>().join("\n")
    }
}
