//! `[[mirror.hook]]`: its keys, what each sets, and how it is read.

use std::time::Duration;

use crate::config::Key;
use crate::config::reading::{
    Declared, ObjectClaims, Reported, Section, Setting, Value as Written, boolean, choice, command_line,
    duration, variable,
};

const SECTION: &str = "mirror.hook";

const COMMAND: Setting<Vec<String>> =
    Setting::required(SECTION, "command", "the command and its arguments, as a list; no shell", command_line);
const ON: Setting<(bool, bool)> = Setting::or(
    SECTION,
    "on",
    r#"["promotion", "demotion"]"#,
    "when it is run: `promotion`, `demotion`, or a list of both",
    moments,
);
const TIMEOUT: Setting<Duration> =
    Setting::or(SECTION, "timeout", r#""10s""#, "how long it may take, 100ms to 300s", |value| {
        duration(value, Duration::from_millis(100)..=Duration::from_mins(5))
    });
const RETRY: Setting<bool> =
    Setting::or(SECTION, "retry", "false", "whether a failure is tried again", boolean);
const ENVIRONMENT: Setting<Vec<String>> = Setting::or(
    SECTION,
    "environment",
    "[]",
    "names of environment variables that the command gets besides the usual ones",
    environment,
);

/// A command that is run at promotions and demotions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The command and its arguments; never empty.
    pub command: Vec<String>,
    /// Run it when the member becomes primary.
    pub on_promotion: bool,
    /// Run it when the member stops being primary.
    pub on_demotion: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether a failure is tried again.
    pub retry: bool,
    /// Names of environment variables that it gets besides the usual ones.
    pub environment: Vec<String>,
}

impl Declared for Table {
    const SECTION: &'static str = SECTION;
    const KEYS: &'static [Key] = &[COMMAND.key, ON.key, TIMEOUT.key, RETRY.key, ENVIRONMENT.key];

    fn read(section: &Section<'_>, _claims: &mut ObjectClaims<'_>) -> Result<Self, Reported> {
        let command = section.read(&COMMAND);
        let on = section.read(&ON);
        let timeout = section.read(&TIMEOUT);
        let retry = section.read(&RETRY);
        let environment = section.read(&ENVIRONMENT);
        let (on_promotion, on_demotion) = on?.value;
        Ok(Self {
            command: command?.value,
            on_promotion,
            on_demotion,
            timeout: timeout?.value,
            retry: retry?.value,
            environment: environment?.value,
        })
    }
}

/// Moments at which a hook is run: on promotion, on demotion.
fn moments(value: &Written<'_>) -> Result<(bool, bool), Reported> {
    let words = [("promotion", true), ("demotion", false)];
    let moments = value.one_or_many(|value| choice(value, &words))?;
    let moments: Vec<bool> = moments.into_iter().map(|moment| moment.value).collect();
    if moments.is_empty() {
        let help = "Write \"promotion\", \"demotion\" or both; or remove the hook.";
        return Err(value.refuse("`on` is empty: the hook would never run", help));
    }
    Ok((moments.contains(&true), moments.contains(&false)))
}

fn environment(value: &Written<'_>) -> Result<Vec<String>, Reported> {
    Ok(value.one_or_many(variable)?.into_iter().map(|name| name.value).collect())
}
