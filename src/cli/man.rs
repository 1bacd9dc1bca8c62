//! `mirrorvip man`: the manual pages, generated from the definition of the command line and the tables in
//! [`crate::cli::reference`].

use clap::{Args, ValueEnum};
use roff::{Inline, Roff, bold, roman};

use super::{Exit, Failure, command, output};
use crate::cli::reference;
use crate::config::WhenAbsent;
use crate::text::capital;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which page
    #[arg(value_name = "PAGE", default_value = "mirrorvip")]
    page: Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Page {
    /// The program, mirrorvip(1)
    #[value(name = "mirrorvip")]
    Program,
    /// The configuration, mirrorvip.toml(5)
    #[value(name = "mirrorvip.toml")]
    Configuration,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let page = match arguments.page {
        Page::Program => program().map_err(|error| Failure::io(error, "failed to make the manual page"))?,
        Page::Configuration => configuration(),
    };
    output::print(page)?;
    Ok(Exit::Ok)
}

fn program() -> Result<String, std::io::Error> {
    let mut page = Vec::new();
    let (all, whole) = (command(), clap_mangen::Man::new(command()));
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    // One page covers all verbs. The library's own list of verbs would refer to a page for each.
    for verb in all.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        page.extend(format!(".SH MIRRORVIP {}\n", verb.get_name().to_uppercase()).into_bytes());
        let man = clap_mangen::Man::new(verb.clone().name(format!("mirrorvip {}", verb.get_name())));
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    let mut roff = Roff::new();
    section(
        &mut roff,
        "EXIT STATUS",
        reference::EXITS.map(|exit| {
            let (meaning, action) = reference::meaning(exit);
            ((exit as u8).to_string(), format!("{meaning} {action}"))
        }),
    );
    section(&mut roff, "SIGNALS", reference::SIGNALS);
    roff.control("PP", []);
    roff.text(inline("`publish` handles TERM, INT and USR1. Restart it to load a new configuration."));
    roff.control("SH", ["ENVIRONMENT"]);
    for (by, variables) in reference::ENVIRONMENT {
        roff.control("SS", [by.replace('`', "").as_str()]);
        for (name, meaning) in *variables {
            entry(&mut roff, name, meaning);
        }
    }
    section(&mut roff, "FILES", reference::FILES);
    section(&mut roff, "EXAMPLES", reference::EXAMPLES);
    page.extend(roff.render().into_bytes());
    whole.render_version_section(&mut page)?;
    let mut roff = Roff::new();
    see_also(&mut roff, "mirrorvip.toml", "5");
    page.extend(roff.render().into_bytes());
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn configuration() -> String {
    let mut roff = Roff::new();
    let version = concat!("mirrorvip ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["mirrorvip.toml", "5", "", version]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("mirrorvip.toml - configuration of mirrorvip")]);
    roff.control("SH", ["DESCRIPTION"]);
    for (index, paragraph) in DESCRIPTION.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text(inline(paragraph));
    }
    for (title, keys) in reference::sections() {
        roff.control("SH", [title.as_str()]);
        for key in keys {
            let absent = match key.when_absent {
                WhenAbsent::Refused => "Required.".to_owned(),
                WhenAbsent::Means(value) => format!("Default: `{value}`."),
                WhenAbsent::Off => "Off by default.".to_owned(),
            };
            entry(&mut roff, key.name, &format!("{}. {absent}", capital(key.meaning)));
        }
    }
    roff.control("SH", ["EXAMPLE"]);
    roff.text(inline("Two members behind a network load balancer. On db2, swap `member` and the peer."));
    roff.control("PP", []);
    roff.control("nf", []);
    for line in reference::EXAMPLE.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    section(&mut roff, "FILES", [reference::FILES[0], reference::FILES[1], reference::FILES[5]]);
    see_also(&mut roff, "mirrorvip", "1");
    roff.render()
}

const DESCRIPTION: [&str; 4] = [
    "The configuration of one node, in TOML. It is read from the file that `--config` names; else from the text in the variable \
     `MIRRORVIP_CONFIG_TOML`; else from `/etc/mirrorvip/mirrorvip.toml`. The first one found is the whole configuration.",
    "Every `[[mirror]]` has exactly one table `[mirror.probe.KIND]`. The other tables under it are optional, and those in double \
     brackets may be written several times. A key belongs to the last header above it. Unknown keys are errors.",
    "Durations are written \"500ms\", \"1s\" or \"1m 30s\". Paths are absolute; secrets may be credentials of the service manager, \
     written \"${CREDENTIALS_DIRECTORY}/NAME\".",
    "`mirrorvip check` validates a configuration and tries everything that the daemon will need. `systemctl reload mirrorvip` puts a \
     change in force; on any error the old configuration stays.",
];

/// A section of tagged paragraphs.
fn section(
    roff: &mut Roff,
    title: &str,
    entries: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) {
    roff.control("SH", [title]);
    for (tag, text) in entries {
        entry(roff, tag.as_ref(), text.as_ref());
    }
}

fn entry(roff: &mut Roff, tag: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(tag)]);
    roff.text(inline(text));
}

fn see_also(roff: &mut Roff, page: &str, chapter: &str) {
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold(page), roman(format!("({chapter}), /usr/share/doc/mirrorvip/"))]);
}

/// Text whose code spans, as Markdown writes them, become bold.
fn inline(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
