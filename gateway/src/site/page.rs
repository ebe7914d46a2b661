//! The frame of every page: head, navigation, account, footer.

use maud::{DOCTYPE, Markup, html};

/// What all pages have in common.
pub(super) struct Frame {
    /// The host of the public URL.
    pub(super) host: String,
    pub(super) version: &'static str,
    pub(super) has_console: bool,
}

/// Where the navigation leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Methods,
    Console,
    /// Below one of them.
    Elsewhere,
}

impl Frame {
    /// A whole page. `modules` are loaded beside the module of every page.
    pub(super) fn page(&self, title: &str, place: Place, modules: &[&str], main: &Markup) -> String {
        let Self { host, version, has_console } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · " (host) }
                    link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/assets/site.css";
                    script type="module" src="/assets/page.js" {}
                    @for module in modules { script type="module" src=(module) {} }
                }
                body {
                    a.skip-link href="#main" { "Skip to the content" }
                    header {
                        nav aria-label="Site" {
                            (link("/", "Methods", place == Place::Methods))
                            @if *has_console { (link("/console", "Console", place == Place::Console)) }
                        }
                        div #account {}
                    }
                    main #main tabindex="-1" { (main) }
                    footer { p { (host) " · athook " (version) } }
                }
            }
        };
        page.into_string()
    }
}

fn link(path: &str, text: &str, is_here: bool) -> Markup {
    html! {
        @if is_here { a href=(path) aria-current="page" { (text) } }
        @else { a href=(path) { (text) } }
    }
}
