//! Where a project is built: in its own folder, or in a copy where its links lead out of it, because componentize-py and
//! componentize-qjs read nothing from outside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder to build in. A copy goes away with it.
pub(super) struct Workplace {
    pub(super) folder: PathBuf,
    copy: Option<PathBuf>,
}

impl Workplace {
    /// The project's folder itself, unless an entry of it is a link to somewhere else.
    pub(super) fn of(project: &Path) -> io::Result<Workplace> {
        let root = project.canonicalize()?;
        let mut leads_out = false;
        for entry in fs::read_dir(&root)? {
            leads_out |= target_outside(&root, &entry?.path())?.is_some();
        }
        if !leads_out {
            return Ok(Workplace { folder: project.to_owned(), copy: None });
        }
        let copy = std::env::temp_dir().join(format!("tasq-build-{}", uuid::Uuid::now_v7().simple()));
        // Some tools name what they make after the folder.
        let folder = copy.join(root.file_name().unwrap_or_default());
        let place = Workplace { folder, copy: Some(copy) };
        copy_into(&root, &root, &place.folder)?;
        Ok(place)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            // What stays behind is in the system's folder for such things.
            let _ = fs::remove_dir_all(copy);
        }
    }
}

/// Links that stay in the project remain links: the programs of node_modules find their files by them.
fn copy_into(root: &Path, from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_symlink() && target_outside(root, &path)?.is_none() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &copy)?;
        } else if fs::metadata(&path)?.is_dir() {
            copy_into(root, &path, &copy)?;
        } else {
            fs::copy(&path, &copy)?;
        }
    }
    Ok(())
}

/// Where a link out of `root` leads to; none for everything else.
fn target_outside(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    if !fs::symlink_metadata(path)?.is_symlink() {
        return Ok(None);
    }
    let wrong = |why: String| io::Error::other(format!("{}: {why}", path.display()));
    let target = path.canonicalize().map_err(|error| wrong(error.to_string()))?;
    // A copy of it would never end.
    if root.starts_with(&target) || path.parent().unwrap_or(path).canonicalize()?.starts_with(&target) {
        return Err(wrong("a link to a folder that it is in".into()));
    }
    Ok(Some(target).filter(|target| !target.starts_with(root)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_out_of_the_project_are_followed_in_a_copy() {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("add");
        fs::create_dir_all(project.join("bin")).unwrap();
        fs::create_dir_all(home.path().join("sdk")).unwrap();
        fs::write(home.path().join("sdk/glue"), "glue").unwrap();
        fs::write(project.join("program"), "program").unwrap();
        symlink("../program", project.join("bin/run")).unwrap();
        assert_eq!(Workplace::of(&project).unwrap().folder, project, "nothing leads out");

        symlink("../sdk", project.join("tasq")).unwrap();
        let place = Workplace::of(&project).unwrap();
        assert!(place.folder.ends_with("add") && place.folder != project);
        assert!(!fs::symlink_metadata(place.folder.join("tasq")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(place.folder.join("tasq/glue")).unwrap(), "glue");
        assert_eq!(fs::read_link(place.folder.join("bin/run")).unwrap(), Path::new("../program"));
        let folder = place.folder.clone();
        drop(place);
        assert!(!folder.exists());
    }

    #[test]
    fn a_link_that_leads_nowhere_or_in_a_circle_is_named() {
        for (target, want) in
            [("nowhere", "No such file"), ("..", "a link to a folder that it is in"), (".", "it is in")]
        {
            let home = tempfile::tempdir().unwrap();
            symlink(target, home.path().join("odd")).unwrap();
            let error = Workplace::of(home.path()).err().unwrap().to_string();
            assert!(error.contains("/odd: ") && error.contains(want), "{error}");
        }
    }
}
