//! A shared folder: files, `index.html`, listings, and what happens where there is nothing.

mod cache;
pub(crate) mod find;
mod redirect;
mod serve;
pub(crate) mod small;
mod standing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use doorstep_http::{BoxFuture, Request, Response, Service};
use doorstep_model::FileOptions;

use self::standing::Standing;
use crate::FilesError;
use crate::limits::ROOT_TRUST;

/// Serves the folder that stands at a path. What it answers is at most [`crate::limits::CACHE_TRUST`] older than the disk.
///
/// A link such as `current -> releases/42` that is changed, and a folder that is removed and made anew by a build, are
/// followed within [`crate::limits::ROOT_TRUST`]. What is under way, uploads too, finishes in the folder it began in;
/// while there is none at the path, the old one is served on.
pub struct FolderService {
    path: PathBuf,
    options: FileOptions,
    standing: ArcSwap<Standing>,
    /// Nanoseconds on the cache's clock when the path was last looked at.
    looked: AtomicU64,
}

impl FolderService {
    /// # Errors
    /// The folder is not there, is no folder or may not be read.
    pub fn open(path: &Path, options: &FileOptions) -> Result<Self, FilesError> {
        let path = std::path::absolute(path).map_err(|error| FilesError::opening(path, error))?;
        let standing = ArcSwap::from_pointee(Standing::open(&path, options)?);
        Ok(Self { path, options: options.clone(), standing, looked: AtomicU64::new(small::now()) })
    }

    /// `now` is on the cache's clock.
    fn standing(&self, now: u64) -> Arc<Standing> {
        let standing = self.standing.load_full();
        let looked = self.looked.load(Ordering::Relaxed);
        let is_due = u128::from(now.saturating_sub(looked)) >= ROOT_TRUST.as_nanos();
        // One of the threads looks.
        if !is_due || self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return standing;
        }
        if !standing.has_moved(&self.path) {
            return standing;
        }
        match Standing::open(&self.path, &self.options) {
            Ok(fresh) => {
                let fresh = Arc::new(fresh);
                self.standing.store(Arc::clone(&fresh));
                fresh
            }
            // It may be in the making.
            Err(_) => standing,
        }
    }
}

impl Service for FolderService {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let standing = self.standing(small::now());
        if let Some(response) = standing.at_once(&request) {
            return Box::pin(std::future::ready(response));
        }
        Box::pin(async move { standing.answer(request).await })
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        service: FolderService,
    }

    impl Scene {
        /// `current` is a link to `1`; in each of the folders `1` and `2` a file says which it is.
        fn new(options: &FileOptions) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["1", "2"] {
                std::fs::create_dir(folder.path().join(name)).unwrap();
                std::fs::write(folder.path().join(name).join("version.txt"), name).unwrap();
            }
            std::os::unix::fs::symlink("1", folder.path().join("current")).unwrap();
            let service = FolderService::open(&folder.path().join("current"), options).unwrap();
            Self { folder, service }
        }

        /// The status and text at `path` after [`ROOT_TRUST`] is over.
        async fn get(&self, path: &str) -> (StatusCode, String) {
            let later = self.service.looked.load(Ordering::Relaxed) + ROOT_TRUST.as_nanos() as u64;
            let standing = self.service.standing(later);
            let response = match standing.at_once(&Request::get(path)) {
                Some(response) => response,
                None => standing.answer(Request::get(path)).await,
            };
            let status = response.status;
            (status, String::from_utf8(response.body.collect(1 << 20).await.unwrap().to_vec()).unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }
    }

    fn is_version(seen: &(StatusCode, String), version: &str) -> bool {
        seen.0 == StatusCode::OK && seen.1 == version
    }

    #[tokio::test]
    async fn a_changed_link_is_followed() {
        let scene = Scene::new(&FileOptions::default());
        assert!(is_version(&scene.get("/version.txt").await, "1"));
        std::os::unix::fs::symlink("2", scene.path("next")).unwrap();
        std::fs::rename(scene.path("next"), scene.path("current")).unwrap();
        assert!(is_version(&scene.get("/version.txt").await, "2"));
    }

    #[tokio::test]
    async fn a_folder_that_is_made_anew_is_served() {
        let scene = Scene::new(&FileOptions::default());
        std::fs::rename(scene.path("1"), scene.path("old")).unwrap();
        assert!(is_version(&scene.get("/version.txt").await, "1"), "the old one, while there is none");
        std::fs::create_dir(scene.path("1")).unwrap();
        std::fs::write(scene.path("1/version.txt"), "1b").unwrap();
        assert!(is_version(&scene.get("/version.txt").await, "1b"));
        std::fs::remove_dir_all(scene.path("1")).unwrap();
        assert_eq!(scene.get("/version.txt").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn what_is_under_way_stays_where_it_began() {
        let scene = Scene::new(&FileOptions::default());
        let before = scene.service.standing(0);
        std::fs::remove_file(scene.path("current")).unwrap();
        std::os::unix::fs::symlink("2", scene.path("current")).unwrap();
        assert!(is_version(&scene.get("/version.txt").await, "2"));
        let response = before.answer(Request::get("/version.txt")).await;
        assert_eq!(response.body.collect(10).await.unwrap(), "1");
    }

    #[tokio::test]
    async fn without_listings_a_folder_is_nothing() {
        let scene = Scene::new(&FileOptions { no_listing: true, ..FileOptions::default() });
        std::fs::create_dir(scene.path("1/with")).unwrap();
        std::fs::write(scene.path("1/with/index.html"), "page").unwrap();
        for path in ["/", "/?zip", "/?format=json"] {
            let (status, text) = scene.get(path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(!text.contains("version.txt"), "{text}");
        }
        assert!(is_version(&scene.get("/with/").await, "page"));
        assert!(is_version(&scene.get("/version.txt").await, "1"));
    }
}
