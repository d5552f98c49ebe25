use std::fmt::Write as _;

use super::description::{Service, parse};
use super::http::{Server, post};
use crate::error::GatewayError;

/// Named values of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Values(Vec<(String, String)>);

impl Values {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Calls an action (UPnP Device Architecture 1.1, section 3.2).
pub(super) async fn call(
    server: Server,
    service: &Service,
    action: &str,
    arguments: &[(&str, &str)],
) -> Result<Values, GatewayError> {
    let answer =
        post(server, &service.path, &format!("{}#{action}", service.kind), envelope(&service.kind, action, arguments))
            .await?;
    read(&answer.body, action, answer.status)
}

fn envelope(kind: &str, action: &str, arguments: &[(&str, &str)]) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>",
    );
    let _ = write!(out, "<u:{action} xmlns:u=\"{}\">", escape(kind));
    for (name, value) in arguments {
        let _ = write!(out, "<{name}>{}</{name}>", escape(value));
    }
    let _ = write!(out, "</u:{action}></s:Body></s:Envelope>\r\n");
    out
}

pub(super) fn read(body: &str, action: &str, status: u16) -> Result<Values, GatewayError> {
    let document = match parse(body) {
        Ok(document) => document,
        Err(_) if status != 200 => return Err(GatewayError::Nonsense(format!("HTTP status {status}"))),
        Err(error) => return Err(error),
    };
    let named = |name: &str| document.descendants().find(|node| node.tag_name().name() == name);
    if let Some(fault) = named("errorCode") {
        let code = fault.text().and_then(|text| text.trim().parse().ok());
        let words = named("errorDescription").and_then(|node| node.text()).unwrap_or_default().trim().to_owned();
        return Err(match code {
            Some(code) => GatewayError::Upnp { code, words },
            None => GatewayError::Nonsense("a fault without a number".into()),
        });
    }
    let Some(answer) = named(&format!("{action}Response")) else {
        return Err(GatewayError::Nonsense(format!("no answer to {action} (HTTP status {status})")));
    };
    let values = answer.children().filter(roxmltree::Node::is_element).take(32);
    let value = |node: roxmltree::Node<'_, '_>| {
        (node.tag_name().name().to_owned(), node.text().unwrap_or_default().trim().to_owned())
    };
    Ok(Values(values.map(value).collect()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_faults_are_read() {
        let body = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><u:GetExternalIPAddressResponse xmlns:u=\"x\">\
                    <NewExternalIPAddress> 11.0.0.20 </NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>";
        let values = read(body, "GetExternalIPAddress", 200).unwrap();
        assert_eq!(values.get("NewExternalIPAddress"), Some("11.0.0.20"));
        assert!(read(body, "AddPortMapping", 200).is_err());
        let fault = "<Envelope><Body><Fault><detail><UPnPError><errorCode>725</errorCode></UPnPError></detail></Fault></Body></Envelope>";
        assert!(matches!(read(fault, "AddPortMapping", 500), Err(GatewayError::Upnp { code: 725, .. })));
        assert!(read("Internal error", "AddPortMapping", 500).is_err_and(|error| error.to_string().contains("500")));
    }

    #[test]
    fn values_cannot_break_out() {
        assert!(envelope("urn:x", "A", &[("NewPortMappingDescription", "</x>&")]).contains(">&lt;/x&gt;&amp;</"));
    }
}
