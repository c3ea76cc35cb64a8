//! One page of HTML that needs nothing from anywhere else.

use base64::Engine;
use rhyton::Result;
use rhyton::plot::Picture;

/// Sections in the order in which they are read.
pub struct Page {
    title: String,
    body: String,
    contents: Vec<(String, String)>,
}

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.7rem; margin: .5rem 0; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-top: 1px solid #ddd; padding-top: 1rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .7rem; border-bottom: 1px solid #e4e4e4; text-align: right; }
td:first-child, th:first-child { text-align: left; }
.wide { overflow-x: auto; } svg, img { max-width: 100%; height: auto; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; } .figure { background: #f4f6f8; border-radius: .5rem; padding: .6rem 1rem; }
.figure b { display: block; font-size: 1.4rem; } .note { background: #fff6e5; border-left: 4px solid #e69f00; padding: .5rem .8rem; }
nav a { margin-right: 1rem; } .bad { color: #a33b00; } .good { color: #00664a; }
";

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Page {
        Page { title: title.into(), body: String::new(), contents: vec![] }
    }

    /// Adds a section or, where it could not be made, why.
    pub fn section(&mut self, title: &str, body: Result<String>) {
        let id = format!("s{}", self.contents.len());
        let body = body.unwrap_or_else(|e| note(&format!("Not available: {e}")));
        self.body.push_str(&format!("<section><h2 id=\"{id}\">{}</h2>\n{body}</section>\n", escaped(title)));
        self.contents.push((id, title.into()));
    }

    /// The whole page.
    pub fn html(&self) -> String {
        let links: String = self
            .contents
            .iter()
            .map(|(id, title)| format!("<a href=\"#{id}\">{}</a> ", escaped(title)))
            .collect();
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1><nav>{links}</nav>\n{}</body></html>\n",
            self.body,
            title = escaped(&self.title),
        )
    }
}

/// Text in HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A paragraph.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

/// Something to take note of.
pub fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escaped(text).replace('\n', "<br>"))
}

/// Large numbers with what they are.
pub fn figures(all: &[(&str, String)]) -> String {
    let each = |(what, number): &(&str, String)| {
        format!("<div class=\"figure\"><b>{}</b>{}</div>", escaped(number), escaped(what))
    };
    format!("<div class=\"figures\">{}</div>\n", all.iter().map(each).collect::<String>())
}

/// A table; cells are text.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: String| format!("<tr>{cells}</tr>\n");
    let head = line(head.iter().map(|c| format!("<th>{}</th>", escaped(c))).collect());
    let rows: String =
        rows.iter().map(|r| line(r.iter().map(|c| format!("<td>{}</td>", escaped(c))).collect())).collect();
    format!("<div class=\"wide\"><table>{head}{rows}</table></div>\n")
}

/// A picture with what it shows, for those who do not see it.
pub fn picture(picture: &Picture, shows: &str) -> Result<String> {
    let bytes = base64::engine::general_purpose::STANDARD.encode(picture.png()?);
    Ok(format!("<p><img alt=\"{}\" src=\"data:image/png;base64,{bytes}\"></p>\n", escaped(shows)))
}
