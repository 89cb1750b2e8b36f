//! Images: whether they are here, what they start, and whether that can be started.

use std::cmp::Ordering;

use cloud::{Cx, Error};
use engine::{ImageFile, ImageName, PreparedImage};
use shapes::ecr::errors::RepositoryNotFoundException;
use shapes::ecr::{DescribeImagesInput, DescribeRepositoriesInput, ImageDetail};

use crate::ahead::WantedImage;
use crate::elf;
use crate::facts::{ImageFacts, OwnImage, ProgramFacts};

/// Where the kernel looks for a program without a slash when the image says nothing of it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More tags or repositories are not compared with the one that is missing.
const NAMES_MAX: usize = 1000;

/// `starts` is what the definition begins the command with, if it says so; `is_entry_point` whether that
/// replaces the image's own entry point.
pub async fn of(
    cx: &Cx,
    name: &str,
    is_entry_point: bool,
    starts: Option<&str>,
) -> Result<ImageFacts, Error> {
    let mut facts = ImageFacts {
        name: name.to_owned(),
        ..ImageFacts::default()
    };
    let Ok(parsed) = name.parse::<ImageName>() else {
        return Ok(facts);
    };
    if let Some((account, region)) = ecr_host(&parsed.repository.host) {
        (facts.account, facts.region) = (Some(account.to_owned()), Some(region.to_owned()));
        if account == cx.account() {
            facts.here = Some(own(&cx.in_region(region), &parsed).await?);
        }
    }
    look_inside(cx, &parsed, is_entry_point, starts, &mut facts).await;
    Ok(facts)
}

/// Account and region of `<account>.dkr.ecr.<region>.amazonaws.com`.
pub fn ecr_host(host: &str) -> Option<(&str, &str)> {
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    Some((account, rest.strip_suffix(".amazonaws.com")?))
}

async fn own(cx: &Cx, name: &ImageName) -> Result<OwnImage, Error> {
    let repository = name.repository.path.clone();
    let mut own = OwnImage {
        tag: name.reference.to_string(),
        repository: repository.clone(),
        // A name that leads to an image is right, whatever else there is.
        has_repository: true,
        has_tag: cx.engine().images.resolve(name).await.is_ok(),
        ..OwnImage::default()
    };
    if own.has_tag {
        return Ok(own);
    }
    let images = cx.call(DescribeImagesInput {
        repository_name: repository,
        ..Default::default()
    });
    match images.await {
        Ok(images) => own.tags = newest_tags(images.image_details.unwrap_or_default()),
        Err(error) if error.is(RepositoryNotFoundException) => {
            own.has_repository = false;
            let listed = cx.call(DescribeRepositoriesInput::default()).await?;
            let listed = listed.repositories.into_iter().flatten();
            let names = listed.filter_map(|it| it.repository_name);
            own.repositories = names.take(NAMES_MAX).collect();
        }
        Err(error) => return Err(error),
    }
    Ok(own)
}

fn newest_tags(mut images: Vec<ImageDetail>) -> Vec<String> {
    images.sort_by(|one, other| {
        let newer = other.image_pushed_at.partial_cmp(&one.image_pushed_at);
        newer.unwrap_or(Ordering::Equal)
    });
    let tags = images
        .into_iter()
        .flat_map(|it| it.image_tags.unwrap_or_default());
    tags.take(NAMES_MAX).collect()
}

/// Where a program is looked for: an image says where, and may be anybody's. Each place costs a look into
/// all its layers.
const PLACES_MAX: usize = 64;

/// What an image that is here says and has. What cannot be looked into is left out.
async fn look_inside(
    cx: &Cx,
    name: &ImageName,
    is_entry_point: bool,
    starts: Option<&str>,
    facts: &mut ImageFacts,
) {
    let images = &cx.engine().images;
    let Ok(digest) = images.resolve(name).await else {
        return;
    };
    let Ok(image) = images.prepare_digest(&digest).await else {
        return;
    };
    let config = &image.config;
    let own = config.entrypoint.first();
    let program = match (is_entry_point, own) {
        (false, Some(own)) => Some(own.as_str()),
        _ => starts.or(config.cmd.first().map(String::as_str)),
    };
    let Some(program) = program else {
        return;
    };
    facts.program = Some(match locate(cx, &image, program).await {
        Some(file) => ProgramFacts {
            path: file.path.clone(),
            is_there: true,
            mode: file.mode,
            shebang: first_line(&file.head),
            ..ProgramFacts::default()
        },
        None => ProgramFacts {
            path: program.to_owned(),
            ..ProgramFacts::default()
        },
    });
}

/// A program of an image, looked for as the kernel and its shell would.
async fn locate(cx: &Cx, image: &PreparedImage, program: &str) -> Option<ImageFile> {
    let config = &image.config;
    let own = config.env.iter().find_map(|it| it.strip_prefix("PATH="));
    let candidates: Vec<String> = match (program.starts_with('/'), program.contains('/')) {
        (true, _) => vec![program.to_owned()],
        (false, true) => vec![format!("{}/{program}", config.working_dir)],
        (false, false) => (own.unwrap_or(PATH).split(':').take(PLACES_MAX))
            .map(|it| format!("{it}/{program}"))
            .collect(),
    };
    for candidate in candidates {
        if let Ok(Some(file)) = cx.engine().images.look(image, &candidate).await {
            return Some(file);
        }
    }
    None
}

/// What only somebody who has not seen it run asks of an image that is here: who runs the program, and as whom.
pub async fn look_further(cx: &Cx, wanted: &WantedImage, facts: &mut ImageFacts) {
    let images = &cx.engine().images;
    let Ok(name) = wanted.name.parse::<ImageName>() else {
        return;
    };
    let Ok(digest) = images.resolve(&name).await else {
        return;
    };
    let Ok(image) = images.prepare_digest(&digest).await else {
        return;
    };
    match &mut facts.program {
        None => facts.says_nothing = true,
        Some(program) if program.is_there => {
            if let Ok(Some(file)) = images.look(&image, &program.path).await {
                look_at_program(cx, &image, &file, program).await;
            }
        }
        Some(_) => {}
    }
    let own = Some(image.config.user.as_str()).filter(|it| !it.is_empty());
    if let Some(user) = wanted.user.as_deref().or(own)
        && lacks_user(cx, &image, user).await
    {
        facts.lacks_user = Some(user.to_owned());
    }
    for program in wanted.programs.iter().take(PLACES_MAX) {
        if locate(cx, &image, program).await.is_none() {
            facts.lacks.push(program.clone());
        }
    }
}

async fn look_at_program(
    cx: &Cx,
    image: &PreparedImage,
    file: &ImageFile,
    facts: &mut ProgramFacts,
) {
    let runner = match &facts.shebang {
        Some(line) => elf::interpreter_of(line),
        None => match elf::read(&file.head) {
            None => {
                facts.is_no_program = true;
                return;
            }
            Some(header) => {
                facts.foreign_machine = header.foreign_machine();
                header.loader
            }
        },
    };
    if let Some(runner) = runner
        && locate(cx, image, &runner).await.is_none()
    {
        facts.lacks_interpreter = Some(runner);
    }
}

/// Whether the user is named, and not in the image's own list. A list that is longer than what is read of it may
/// have everybody.
async fn lacks_user(cx: &Cx, image: &PreparedImage, user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default();
    if name.is_empty() || name.bytes().all(|it| it.is_ascii_digit()) {
        return false;
    }
    let Ok(found) = cx.engine().images.look(image, "/etc/passwd").await else {
        return false;
    };
    let Some(list) = found else {
        return name != "root";
    };
    let is_whole = usize::try_from(list.size_bytes).is_ok_and(|it| it == list.head.len());
    let text = String::from_utf8_lossy(&list.head);
    is_whole && !text.lines().any(|it| it.split(':').next() == Some(name))
}

/// The first line of a script, with a carriage return at its end if it has one.
pub fn first_line(head: &[u8]) -> Option<String> {
    let text = head.strip_prefix(b"#!")?;
    let line = text.split(|it| *it == b'\n').next().unwrap_or_default();
    Some(format!("#!{}", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_name_tells_account_and_region() {
        let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(ecr_host(host), Some(("123456789012", "eu-west-1")));
        assert_eq!(ecr_host("docker.io"), None);
    }

    #[test]
    fn a_scripts_first_line_keeps_its_carriage_return() {
        assert_eq!(
            first_line(b"#!/bin/sh\r\necho"),
            Some("#!/bin/sh\r".to_owned())
        );
        assert_eq!(first_line(b"\x7fELF"), None);
    }
}
