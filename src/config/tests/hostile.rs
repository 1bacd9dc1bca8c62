//! Whatever the text: it is read, or there is a report of bounded size that can be shown.

use proptest::prelude::*;

use super::*;

#[test]
fn reports_are_bounded() {
    let unknown: Vec<_> = (0..5_000).map(|number| format!("unknown{number} = 1\n")).collect();
    let report = refuse(&format!("{MINIMAL}{}", unknown.concat()));
    assert_eq!((report.problems().len(), report.unlisted()), (50, 4_950));
    assert!(report.to_string().ends_with("5000 problems, the first 50 are shown"), "{report}");
    assert_eq!(report.render(false).matches("\n\nerror: ").count(), 50);

    let long = "x".repeat(500_000);
    let report = refuse(&format!("{long} = \"{long}\"\n[{long}]\n{MINIMAL}rise = \"{long}\""));
    assert!(report.render(true).len() < 10_000, "{}", report.render(true).len());
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for text in [
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}", "{ a = ".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(200_000)),
        format!("[{}a]", "a.".repeat(200_000)),
    ] {
        assert!(!refuse(&text).render(false).is_empty());
    }
}

/// A text that was valid before a typing error.
fn slipped() -> impl Strategy<Value = String> {
    let example = include_str!("../../../config/mirrorvip.toml").replace("\n#", "\n");
    let token = prop::sample::select(vec![
        "",
        "\"",
        "'''",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "#",
        "\n",
        "\r",
        "\0",
        "ä",
        "\u{202e}",
        "0",
        "-",
        "1s",
        "true",
        "[[mirror]]\n",
        "[mirror.probe.file]\n",
        "name = \"x\"\n",
    ]);
    let slip = (any::<prop::sample::Index>(), 0..40_usize, token);
    (Just(example), prop::collection::vec(slip, 1..6)).prop_map(|(text, slips)| {
        let mut characters: Vec<char> = text.chars().collect();
        for (at, removed, inserted) in slips {
            let start = at.index(characters.len() + 1);
            let end = (start + removed).min(characters.len());
            characters.splice(start..end, inserted.chars());
        }
        characters.into_iter().collect()
    })
}

/// Whatever the text, it is read or there is a report that can be shown.
fn is_total(text: &str) {
    if let Err(report) = parse(text, "test.toml") {
        assert!(report.problems().len() > 0);
        assert!(report.render(true).contains("error"));
        let lines = text.split('\n').count();
        assert!(report.problems().all(|problem| problem.line().is_none_or(|line| line <= lines)));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_reported(text in ".{0,400}") {
        is_total(&text);
    }

    #[test]
    fn anything_that_looks_like_toml_is_read_or_reported(
        text in "([a-z\"'\\[\\]{}=.,#0-9 \u{e4}\u{9b}-]|\n|\r\n|health|mirror|probe){0,200}",
    ) {
        is_total(&text);
    }

    #[test]
    fn any_slip_is_read_or_reported(text in slipped()) {
        is_total(&text);
    }

    #[test]
    fn what_fits_together_comes_back(
        name in "[A-Z][A-Za-z0-9_.-]{0,62}[0-9]",
        paths in prop::collection::hash_set("(/[a-z0-9._~-]{0,8}[a-z]){1,4}", 1..5),
        interval in 20_u64..1_000,
        timeout in 10_u64..2_000,
        slack in 0_u64..1_000,
        rise in 1_u32..=10,
        port in 1024_u16..9_000,
        argument in "[ -~äöü€]{0,20}",
    ) {
        let stale_after = interval + timeout + slack;
        let paths: Vec<String> = paths.into_iter().collect();
        let text = format!(
            "[health]\nlisten = \"127.0.0.1:{port}\"\n[[mirror]]\nname = \"{name}\"\npaths = {paths:?}\n\
             interval = \"{interval}ms\"\ntimeout = \"{timeout}ms\"\nstale_after = \"{stale_after}ms\"\n\
             rise = {rise}\n[mirror.probe.exec]\ncommand = [\"ask\", {argument:?}]\n",
        );
        let config = accept(&text);
        let mirror = &config.mirrors[0];
        prop_assert_eq!(&mirror.name, &name);
        prop_assert_eq!(&mirror.paths, &paths);
        prop_assert_eq!(mirror.interval, Duration::from_millis(interval));
        prop_assert_eq!(mirror.timeout, Duration::from_millis(timeout));
        prop_assert_eq!(mirror.stale_after, Duration::from_millis(stale_after));
        prop_assert_eq!(mirror.rise.get(), rise);
        prop_assert_eq!(config.health.listen[0].port(), port);
        let Probe::Exec { command, .. } = &mirror.probe else { panic!("{:?}", mirror.probe) };
        prop_assert_eq!(&command[1], &argument);
    }
}
