//! `mirrorvip man`: the manual page, made from the command line's own definition.

use super::{Exit, Failure, command, output};

pub(super) fn run() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let failed = |error| Failure::io(error, "failed to make the manual page");
    let (all, whole) = (command(), clap_mangen::Man::new(command()));
    whole.render_title(&mut page).map_err(failed)?;
    whole.render_name_section(&mut page).map_err(failed)?;
    whole.render_synopsis_section(&mut page).map_err(failed)?;
    whole.render_description_section(&mut page).map_err(failed)?;
    whole.render_options_section(&mut page).map_err(failed)?;
    // One page for all verbs: somebody who types `man mirrorvip` looks for any of them. The
    // library's own list of them would name a page for each, and there are none.
    for verb in all.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        page.extend(format!(".SH MIRRORVIP {}\n", verb.get_name().to_uppercase()).into_bytes());
        let man = clap_mangen::Man::new(verb.clone().name(format!("mirrorvip {}", verb.get_name())));
        man.render_synopsis_section(&mut page).map_err(failed)?;
        man.render_description_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
    }
    whole.render_extra_section(&mut page).map_err(failed)?;
    whole.render_version_section(&mut page).map_err(failed)?;
    output::print(String::from_utf8_lossy(&page))?;
    Ok(Exit::Ok)
}
