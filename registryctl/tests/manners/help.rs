//! Completions and manual pages.

use crate::ctl::ran;

#[tokio::test]
async fn shells_are_given_scripts_that_know_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = ran(&["completion", shell]).await;
        assert_eq!(script.code, 0, "{shell}: {}", script.err);
        for word in ["make-mirror", "timetolive", "write-out"] {
            assert!(script.out.contains(word), "{shell} does not know {word}");
        }
    }
    assert!(ran(&["completion", "csh"]).await.err.contains("possible values: bash"));
}

#[tokio::test]
async fn manual_pages_are_written_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ran = ran(&["man", "--out", pages.to_str().unwrap()]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let page = std::fs::read_to_string(pages.join("registryctl-lease-grant.1")).unwrap();
    assert!(page.contains(".SH NAME") && page.contains("grant"), "{page}");
    assert!(pages.join("registryctl.1").exists());
}
