//! A folder's README below its listing. Markdown comes out as HTML that can run nothing and fetches nothing from elsewhere.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html as markdown};

use super::text;

/// Whether a folder's file of this name is shown below its listing, and how.
pub fn format_of(name: &str) -> Option<Format> {
    match name.to_ascii_lowercase().as_str() {
        "readme.md" | "readme.markdown" => Some(Format::Markdown),
        "readme.txt" | "readme" => Some(Format::Plain),
        _ => None,
    }
}

/// How a README is written. Ordered by which one is shown when a folder has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    Markdown,
    Plain,
}

/// Renders a README into HTML for the inside of an element.
pub fn render(source: &str, format: Format) -> String {
    match format {
        Format::Plain => format!("<pre>{}</pre>", escape_lines(source)),
        Format::Markdown => {
            let options = Options::ENABLE_TABLES
                | Options::ENABLE_STRIKETHROUGH
                | Options::ENABLE_TASKLISTS
                | Options::ENABLE_GFM
                | Options::ENABLE_FOOTNOTES;
            let mut out = String::with_capacity(source.len() * 3 / 2);
            markdown::push_html(&mut out, harmless(Parser::new_ext(source, options)));
            out
        }
    }
}

/// Raw HTML becomes text, links keep only schemes that open a page or a mail, pictures from elsewhere become links.
fn harmless<'a>(events: impl Iterator<Item = Event<'a>>) -> impl Iterator<Item = Event<'a>> {
    let mut remote_images = Vec::new();
    events.map(move |event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: safe_target(dest_url), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            let remote = scheme_of(&dest_url).is_some() || is_network_path(&dest_url);
            remote_images.push(remote);
            let dest_url = safe_target(dest_url);
            Event::Start(if remote {
                Tag::Link { link_type, dest_url, title, id }
            } else {
                Tag::Image { link_type, dest_url, title, id }
            })
        }
        Event::End(TagEnd::Image) if remote_images.pop() == Some(true) => Event::End(TagEnd::Link),
        event => event,
    })
}

fn safe_target(target: CowStr<'_>) -> CowStr<'_> {
    match scheme_of(&target) {
        None => target,
        Some(scheme) if ["http", "https", "mailto"].iter().any(|safe| scheme.eq_ignore_ascii_case(safe)) => target,
        Some(_) => CowStr::Borrowed("#"),
    }
}

/// What stands before the first colon, where a browser could take that for a scheme. Browsers skip control characters
/// and spaces inside and before it, so those count as part of it and make it an unknown one.
fn scheme_of(target: &str) -> Option<&str> {
    let end = target.find([':', '/', '?', '#'])?;
    target[end..].starts_with(':').then(|| &target[..end])
}

/// `//host/picture.png`, with either slash, is at another host.
fn is_network_path(target: &str) -> bool {
    let mut start = target.trim_start().chars();
    matches!((start.next(), start.next()), (Some('/' | '\\'), Some('/' | '\\')))
}

fn escape_lines(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    for line in source.lines() {
        for (at, part) in line.split('\t').enumerate() {
            if at > 0 {
                out.push('\t');
            }
            text::push_html(part, &mut out);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn md(source: &str) -> String {
        render(source, Format::Markdown)
    }

    #[test]
    fn ordinary_markdown_is_rendered() {
        let html =
            md("# Title\n\n- [x] done\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[link](sub/page.html) ![pic](pic.png)");
        for part in
            ["<h1>Title</h1>", "type=\"checkbox\"", "<td>1</td>", "href=\"sub/page.html\"", "<img src=\"pic.png\""]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn raw_html_is_text() {
        let html = md("<script>alert(1)</script>\n\nhello <img src=x onerror=alert(1)> <b>bold</b>");
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b>"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
    }

    #[test]
    fn only_harmless_schemes_stay() {
        for target in [
            "javascript:alert(1)",
            "JaVaScript:alert(1)",
            "java&#10;script:alert(1)",
            "&#1;javascript:alert(1)",
            "vbscript:x",
            "data:text/html,x",
        ] {
            let html = md(&format!("[x](<{target}>) <{target}>"));
            assert!(!html.to_ascii_lowercase().contains("script:alert(1)\"") && !html.contains("\"data:"), "{html}");
            assert!(!html.contains("vbscript:x\""), "{html}");
        }
        for target in ["https://example.com/", "mailto:a@example.com", "sub/a.html", "#part", "/top?x=a:b"] {
            assert!(md(&format!("[x]({target})")).contains(&format!("href=\"{target}\"")), "{target}");
        }
    }

    #[test]
    fn pictures_from_elsewhere_become_links() {
        for target in ["https://example.com/p.png", "//example.com/p.png", "data:image/png;base64,AAAA"] {
            let html = md(&format!("![pic]({target}) and ![own](own.png)"));
            assert_eq!(html.matches("<img").count(), 1, "{html}");
            assert!(html.contains("<img src=\"own.png\" alt=\"own\""), "{html}");
        }
    }

    #[test]
    fn plain_text_is_escaped() {
        assert_eq!(render("a <b>\n\tc\u{202E}", Format::Plain), "<pre>a &lt;b&gt;\n\tc\u{FFFD}\n</pre>");
    }

    proptest! {
        #[test]
        fn no_source_brings_a_script_in(source in "[\\[\\]()<>!`*_a-z:/\\\\ \n&#;0-9\"'=-]{0,80}") {
            let html = md(&format!("<script>{source}</script> [x](javascript:{source})")).to_ascii_lowercase();
            prop_assert!(!html.contains("<script"));
            prop_assert!(!html.contains("href=\"javascript:"));
        }
    }
}
