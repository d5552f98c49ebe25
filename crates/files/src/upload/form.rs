//! Uploads in one go: `curl -T` (PUT), and forms (`curl -F`, browsers without JavaScript).

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use doorstep_http::{Request, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};

use super::multipart::{Event, Multipart, MultipartError};
use super::name;
use super::partial::{Partial, open_folder};
use super::refusal::{Asked, Refusal};
use super::writer::Writer;
use super::{Saved, Uploads, blocking, fresh, next_bytes, space, told};
use crate::listing::text;
use crate::random;
use crate::root::Folder;

/// A file being received. Dropped before its end, as when the client is gone, it leaves nothing behind.
struct Incoming {
    unfinished: Unfinished,
    writer: Writer,
    name: String,
}

impl Uploads {
    /// The last component of the path is the file's name.
    pub(super) async fn put(&self, request: &mut Request, asked: &Asked) -> Result<Response, Refusal> {
        let path = request.path.trim_start_matches('/');
        let (folder, said) = path.rsplit_once('/').unwrap_or(("", path));
        if said.is_empty() {
            return Err(Refusal::Bad("The address must end with the file's name: curl -T FILE ADDRESS/NAME"));
        }
        let name = name::sanitise(said, self.root.policy())?;
        let folder = self.visible_folder(folder)?;
        let expected = request.body.len();
        let _turn = self.turn()?;
        let folder = self.open_base(folder, expected).await?;
        let mut incoming = self.start(folder, name).await?;
        let received = self.receive_whole(request, &mut incoming).await;
        let saved = incoming.end(received).await?;
        Ok(self.report(&[saved], asked))
    }

    async fn receive_whole(&self, request: &mut Request, incoming: &mut Incoming) -> Result<(), Refusal> {
        while let Some(bytes) = next_bytes(&mut request.body).await {
            self.append(incoming, bytes.map_err(Refusal::Body)?).await?;
        }
        Ok(())
    }

    /// Every part of the form that is a file.
    pub(super) async fn form(&self, request: &mut Request, asked: &Asked) -> Result<Response, Refusal> {
        let mut form = Multipart::new(request.header(header::CONTENT_TYPE).unwrap_or_default())?;
        let folder = self.folder_of(request)?;
        let _turn = self.turn()?;
        let folder = self.open_base(folder, None).await?;
        let (mut saved, mut incoming) = (Vec::new(), None);
        let received = self.receive_parts(request, &mut form, &folder, &mut saved, &mut incoming).await;
        if let Some(unfinished) = incoming {
            // It is only there if something went wrong.
            unfinished.end(received.and(Err(MultipartError::Truncated.into()))).await?;
        } else {
            received?;
        }
        if saved.is_empty() {
            return Err(Refusal::Bad("No file was chosen."));
        }
        Ok(self.report(&saved, asked))
    }

    async fn receive_parts(
        &self,
        request: &mut Request,
        form: &mut Multipart,
        folder: &Arc<Folder>,
        saved: &mut Vec<Saved>,
        incoming: &mut Option<Incoming>,
    ) -> Result<(), Refusal> {
        loop {
            while let Some(event) = form.next_event()? {
                match event {
                    Event::Begin { file: Some(said), .. } if !said.is_empty() => {
                        let name = name::sanitise(&said, self.root.policy())?;
                        *incoming = Some(self.start(Arc::clone(folder), name).await?);
                    }
                    // An ordinary field, or a file field that was left empty.
                    Event::Begin { .. } => {}
                    Event::Data(bytes) => {
                        if let Some(incoming) = incoming {
                            self.append(incoming, bytes).await?;
                        }
                    }
                    Event::End => {
                        if let Some(whole) = incoming.take() {
                            saved.push(whole.end(Ok(())).await?);
                        }
                    }
                }
            }
            match next_bytes(&mut request.body).await {
                Some(bytes) => form.feed(&bytes.map_err(Refusal::Body)?),
                None => return Ok(form.finish()?),
            }
        }
    }

    async fn open_base(&self, folder: PathBuf, expected: Option<u64>) -> Result<Arc<Folder>, Refusal> {
        if let Some(size) = expected {
            self.check_size(size)?;
        }
        let root = Arc::clone(&self.root);
        blocking(move || {
            let folder = open_folder(&root, &folder, &[], false)?.ok_or(Refusal::NoFolder)?;
            if space::left(&folder)? < expected.unwrap_or(1) { Err(Refusal::NoSpace) } else { Ok(Arc::new(folder)) }
        })
        .await
    }

    async fn start(&self, folder: Arc<Folder>, name: String) -> Result<Incoming, Refusal> {
        let id = random::token().map_err(Refusal::Disk)?;
        let count = Arc::clone(&self.partials);
        let partial = Arc::new(blocking(move || Partial::create(folder, &id, &count)).await?);
        let writer = Writer::new(Arc::clone(&partial.file), 0, None);
        Ok(Incoming { unfinished: Unfinished(Some(partial)), writer, name })
    }

    async fn append(&self, incoming: &mut Incoming, bytes: Bytes) -> Result<(), Refusal> {
        self.check_size(incoming.writer.offset() + bytes.len() as u64)?;
        incoming.writer.push(bytes).await
    }

    fn report(&self, saved: &[Saved], asked: &Asked) -> Response {
        if asked.html {
            // A redirection, so that reloading the page sends nothing twice.
            let location = HeaderValue::try_from(format!("?saved={}", saved.len()));
            return fresh(Response::new(StatusCode::SEE_OTHER))
                .with(header::LOCATION, location.unwrap_or(HeaderValue::from_static("?")));
        }
        if !asked.json {
            return fresh(Response::text(StatusCode::CREATED, told(saved, self.only)));
        }
        let mut body = String::from("{\"saved\":[");
        for (at, file) in saved.iter().enumerate().filter(|_| !self.only) {
            if at > 0 {
                body.push(',');
            }
            text::push_json(&file.name, &mut body);
        }
        body.push_str("]}\n");
        fresh(Response::new(StatusCode::CREATED))
            .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .with_body(body)
    }
}

/// Removes its file when it is dropped.
struct Unfinished(Option<Arc<Partial>>);

impl Incoming {
    /// Gives the file its name if it was `received` whole. Otherwise it is gone, and its space free, before anybody is
    /// told why.
    async fn end(self, received: Result<(), Refusal>) -> Result<Saved, Refusal> {
        let Self { mut unfinished, mut writer, name } = self;
        let flushed = writer.flush().await;
        let Some(partial) = unfinished.0.take() else { return Err(MultipartError::Malformed.into()) };
        blocking(move || {
            let size = writer.offset();
            let published = received.and(flushed).and_then(|()| partial.publish(&name));
            Ok(Saved { name: published.inspect_err(|_| partial.remove())?, size })
        })
        .await
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(partial) = self.0.take() else { return };
        // Freeing a large file takes a while, and this may be the thread that serves everybody else.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || partial.remove())),
            Err(_) => partial.remove(),
        }
    }
}
