//! The page of a path. PURE: built from the configuration, used for each request.
//!
//! | path | page |
//! |---|---|
//! | `PREFIX/.../mirrorstatus.cxw`, `PREFIX/.../mirror_status.cxw` | status page of the mirror with the longest prefix |
//! | `/NAME/primary`, `/NAME/backup`, `/NAME/async` | whether the mirror's member has that role |
//! | `/NAME/peer` | what the member reports to the mirror's other members |
//! | `/primary`, `/backup`, `/async`, `/peer` | the same, where there is only one mirror |
//! | `/live`, `/ready` | the process |
//!
//! Letter case never matters, as on a Windows web server in front of a real CSP page. A prefix matches whole
//! segments: `/csp` is a prefix of `/csp/user`, not of `/cspx`. Percent signs are not decoded: no page's
//! path needs one.

/// Both names under which load balancers ask for the page: the manual's, and the one that the InterSystems
/// articles about AWS and Azure print.
const FILE_NAMES: [&str; 2] = ["mirror_status.cxw", "mirrorstatus.cxw"];

/// A page that this server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The status page of the mirror with this index.
    Status(usize),
    /// Whether the member of the mirror with this index has a role.
    Role(usize, Asked),
    /// Whether the process is alive.
    Live,
    /// Whether each mirror has its first verdict.
    Ready,
}

/// The roles that have a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The verdict: what the status page says.
    Primary,
    /// The backup failover member.
    Backup,
    /// Any connected async member.
    Async,
    /// What it reports to other members.
    Peer,
}

/// The table of pages.
#[derive(Debug)]
pub(super) struct Routes {
    /// Prefixes without trailing slash and the mirrors they select, longest first.
    prefixes: Vec<(String, usize)>,
    names: Vec<String>,
    directory: String,
}

// === impl Routes ===

impl Routes {
    /// The routes to mirrors with these names and path prefixes, in this order.
    pub(super) fn new<'a>(mirrors: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Self {
        let (mut prefixes, mut names) = (Vec::new(), Vec::new());
        for (index, (name, paths)) in mirrors.into_iter().enumerate() {
            names.push(name.to_owned());
            prefixes.extend(paths.iter().map(|path| (path.trim_end_matches('/').to_owned(), index)));
        }
        let directory = directory(&prefixes, &names);
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { prefixes, names, directory }
    }

    pub(super) fn select(&self, path: &str) -> Option<Page> {
        let (folder, file) = path.rsplit_once('/')?;
        if FILE_NAMES.iter().any(|name| name.eq_ignore_ascii_case(file)) {
            return self.mirror_at(folder).map(Page::Status);
        }
        let is = |word: &str| word.eq_ignore_ascii_case(file);
        match folder.strip_prefix('/') {
            None if is("live") => Some(Page::Live),
            None if is("ready") => Some(Page::Ready),
            None if self.names.len() == 1 => Asked::from_word(file).map(|role| Page::Role(0, role)),
            None => None,
            Some(name) => Some(Page::Role(self.mirror_named(name)?, Asked::from_word(file)?)),
        }
    }

    /// The mirror called `name`: the one spelled exactly so, or else whatever the case.
    pub(super) fn mirror_named(&self, name: &str) -> Option<usize> {
        let position = |matches: &dyn Fn(&str) -> bool| self.names.iter().position(|n| matches(n));
        position(&|n| n == name).or_else(|| position(&|n| n.eq_ignore_ascii_case(name)))
    }

    /// The paths that exist, in one line, for a request for another.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    fn mirror_at(&self, folder: &str) -> Option<usize> {
        let folder = folder.as_bytes();
        let matches = |prefix: &[u8]| {
            folder.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
                && matches!(folder.get(prefix.len()), None | Some(b'/'))
        };
        self.prefixes.iter().find(|(prefix, _)| matches(prefix.as_bytes())).map(|&(_, index)| index)
    }
}

/// How the answer to an unknown path begins. `mirrorvip check` knows another mirrorvip by it.
pub(crate) const NO_SUCH_PAGE: &str = "no such page, there is:";

fn directory(prefixes: &[(String, usize)], names: &[String]) -> String {
    let pages = prefixes.iter().map(|(prefix, _)| format!("{prefix}/{}", FILE_NAMES[0]));
    let folders: Vec<String> = match names {
        [_] => vec![String::new()],
        _ => names.iter().map(|name| format!("/{name}")).collect(),
    };
    let roles = folders.iter().flat_map(|f| ["primary", "backup", "async"].map(|role| format!("{f}/{role}")));
    let paths: Vec<_> = pages.chain(roles).chain(["/live".to_owned(), "/ready".to_owned()]).collect();
    format!("{NO_SUCH_PAGE} {}", paths.join(" "))
}

// === impl Asked ===

impl Asked {
    fn from_word(word: &str) -> Option<Self> {
        let words = [
            ("primary", Self::Primary),
            ("backup", Self::Backup),
            ("async", Self::Async),
            ("peer", Self::Peer),
        ];
        words.into_iter().find_map(|(name, asked)| name.eq_ignore_ascii_case(word).then_some(asked))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(mirrors: &[(&str, &[&str])]) -> Routes {
        let owned: Vec<(&str, Vec<String>)> = mirrors
            .iter()
            .map(|(name, paths)| (*name, paths.iter().map(|&path| path.to_owned()).collect()))
            .collect();
        Routes::new(owned.iter().map(|(name, paths)| (*name, paths.as_slice())))
    }

    #[test]
    fn one_mirror() {
        let routes = routes(&[("PROD", &["/csp/bin", "/csp/user/"])]);
        let table = [
            ("/csp/bin/mirrorstatus.cxw", Some(Page::Status(0))),
            ("/csp/bin/mirror_status.cxw", Some(Page::Status(0))),
            ("/CSP/Bin/Mirror_Status.CXW", Some(Page::Status(0))),
            ("/csp/bin/Systems/mirror_status.cxw", Some(Page::Status(0))),
            ("/csp/user/mirror_status.cxw", Some(Page::Status(0))),
            ("/csp/mirror_status.cxw", None),
            ("/csp/binx/mirror_status.cxw", None),
            ("/csp/bin/mirror_status.cxw/", None),
            ("/csp/bin/mirror-status.cxw", None),
            ("/mirror_status.cxw", None),
            ("mirror_status.cxw", None),
            ("/primary", Some(Page::Role(0, Asked::Primary))),
            ("/Backup", Some(Page::Role(0, Asked::Backup))),
            ("/async", Some(Page::Role(0, Asked::Async))),
            ("/PROD/primary", Some(Page::Role(0, Asked::Primary))),
            ("/PROD/peer", Some(Page::Role(0, Asked::Peer))),
            ("/peer", Some(Page::Role(0, Asked::Peer))),
            ("/PROD/promotion", None),
            ("/prod/backup", Some(Page::Role(0, Asked::Backup))),
            ("/live", Some(Page::Live)),
            ("/ready", Some(Page::Ready)),
            ("/PROD/live", None),
            ("/TEST/primary", None),
            ("//primary", None),
            ("/", None),
            ("*", None),
            ("", None),
        ];
        for (path, page) in table {
            assert_eq!(routes.select(path), page, "{path}");
        }
        assert_eq!(
            routes.directory(),
            "no such page, there is: /csp/bin/mirror_status.cxw /csp/user/mirror_status.cxw \
             /primary /backup /async /live /ready"
        );
    }

    #[test]
    fn the_longest_prefix_selects_the_mirror() {
        let routes = routes(&[("A", &["/csp"]), ("B", &["/csp/user", "/ap1a/csp"]), ("C", &["/"])]);
        let status = |path| match routes.select(path) {
            Some(Page::Status(index)) => index,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(status("/csp/mirror_status.cxw"), 0);
        assert_eq!(status("/csp/bin/mirror_status.cxw"), 0);
        assert_eq!(status("/csp/user/mirror_status.cxw"), 1);
        assert_eq!(status("/csp/user/x/mirror_status.cxw"), 1);
        assert_eq!(status("/ap1a/csp/mirror_status.cxw"), 1);
        assert_eq!(status("/cspx/mirror_status.cxw"), 2);
        assert_eq!(status("/mirror_status.cxw"), 2);
        assert_eq!(routes.select("/primary"), None, "which of them?");
        assert_eq!(routes.select("/b/primary"), Some(Page::Role(1, Asked::Primary)));
        assert_eq!(routes.select("/live"), Some(Page::Live));
    }

    #[test]
    fn names_that_differ_in_case_only() {
        let routes = routes(&[("prod", &["/a"]), ("PROD", &["/b"])]);
        assert_eq!(routes.mirror_named("PROD"), Some(1));
        assert_eq!(routes.mirror_named("Prod"), Some(0));
    }

    proptest! {
        #[test]
        fn any_path_is_decided(path in ".{0,80}") {
            let routes = routes(&[("PROD", &["/csp/bin"]), ("é", &["/é"])]);
            let is_page = path.to_ascii_lowercase().ends_with("status.cxw");
            prop_assert!(!matches!(routes.select(&path), Some(Page::Status(_)) if !is_page));
        }
    }
}
