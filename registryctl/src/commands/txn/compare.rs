//! A comparison: `mod("key") > "0"`.

use registry_proto::etcdserverpb::Compare;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

use crate::commands::lease::lease_id;
use crate::commands::words::words;
use crate::output::data;

/// The comparison of a line; what is wrong with it otherwise.
pub(super) fn parse(line: &str) -> Result<Compare, String> {
    let malformed = || format!("malformed comparison: {line}: write it as mod(\"key\") > \"0\"");
    let (target, rest) = line.trim().split_once('(').ok_or_else(malformed)?;
    let (key, rest) = quoted(rest.trim_start()).ok_or_else(malformed)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(malformed)?.trim_start();
    let (operator, value) = rest.split_once(char::is_whitespace).ok_or_else(malformed)?;
    let result = match operator {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        other => return Err(format!("{} (unknown operator {other})", malformed())),
    };
    let value = match quoted(value.trim()) {
        Some((value, "")) => value,
        _ => return Err(malformed()),
    };
    let number = || value.parse::<i64>().map_err(|_| format!("{} ({value} is no number)", malformed()));
    let (target, union) = match target.trim() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(data(&value))),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(lease_id(&value)?)),
        other => return Err(format!("{} (unknown target {other})", malformed())),
    };
    let (result, target, key) = (result.into(), target.into(), data(&key));
    Ok(Compare { result, target, key, range_end: data(""), target_union: Some(union) })
}

/// What is in the quotes that the text begins with, and what follows them.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.find(|letter| {
        let is_end = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        is_end
    })?;
    let all = &text[..end + 2];
    let word = words(all).ok()?.pop()?;
    Some((word, &text[all.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_as_etcdctl_reads_them() {
        let compare = parse(r#"mod("key1") > "0""#).unwrap();
        assert_eq!((compare.result(), compare.target()), (CompareResult::Greater, CompareTarget::Mod));
        assert_eq!((compare.key.as_ref(), compare.target_union), (&b"key1"[..], Some(TargetUnion::ModRevision(0))));
        let compare = parse(r#"val("a \"(b)") != "x y""#).unwrap();
        assert_eq!(compare.key.as_ref(), br#"a "(b)"#);
        assert_eq!(compare.target_union, Some(TargetUnion::Value("x y".into())));
        assert_eq!(parse(r#"lease("k") = "1f""#).unwrap().target_union, Some(TargetUnion::Lease(31)));
    }

    #[test]
    fn what_is_wrong_with_a_comparison_is_said() {
        for (line, why) in [
            ("mod(key) > \"0\"", "malformed comparison"),
            ("mod(\"key\") > 0", "malformed comparison"),
            ("mod(\"key\") >= \"0\"", "unknown operator >="),
            ("age(\"key\") > \"0\"", "unknown target age"),
            ("mod(\"key\") > \"x\"", "x is no number"),
        ] {
            assert!(parse(line).unwrap_err().contains(why), "{line}");
        }
    }
}
