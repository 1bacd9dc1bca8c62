//! `mirrorvip man`: the manual page, made from the command line's own definition.

use super::{Exit, Failure, command, output};

pub(super) fn run() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let failed = |error| Failure::io(error, "failed to make the manual page");
    clap_mangen::Man::new(command()).render(&mut page).map_err(failed)?;
    // One page for all verbs: somebody who types `man mirrorvip` looks for any of them.
    for verb in command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        page.extend(format!(".SH MIRRORVIP {}\n", verb.get_name().to_uppercase()).into_bytes());
        let man = clap_mangen::Man::new(verb.clone().name(format!("mirrorvip {}", verb.get_name())));
        man.render_synopsis_section(&mut page).map_err(failed)?;
        man.render_description_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
    }
    output::print(String::from_utf8_lossy(&page))?;
    Ok(Exit::Ok)
}
