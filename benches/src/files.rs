//! The files that reports go to.

use std::path::Path;

use registry_bench::BenchError;

/// Writes a report as JSON.
pub(crate) fn write_json(path: &Path, report: &impl serde::Serialize) -> Result<(), BenchError> {
    let text = serde_json::to_string_pretty(report);
    let mut text = text.map_err(|error| BenchError::System { what: "the report".to_owned(), source: error.into() })?;
    text.push('\n');
    write(path, &text)
}

/// Writes a text. An interruption leaves the file as it was, or with all of the text; a pipe or a device is just written to.
#[expect(clippy::disallowed_methods, reason = "a report is no part of a node")]
pub(crate) fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    let written = if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        std::fs::write(path, text)
    } else {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, path))
    };
    written.map_err(|source| BenchError::System { what: format!("cannot write {}", path.display()), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_takes_the_place_of_the_last_one_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        for report in [[1, 2], [3, 4]] {
            write_json(&path, &report).unwrap();
        }
        let read: [u8; 2] = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((read, dir.path().read_dir().unwrap().count()), ([3, 4], 1));
        write(Path::new("/dev/null"), "text").unwrap();
        assert!(write(&dir.path().join("none/report.json"), "text").unwrap_err().to_string().contains("cannot write"));
    }
}
