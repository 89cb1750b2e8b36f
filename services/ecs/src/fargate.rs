//! Task sizes of Fargate ("Amazon ECS task definition parameters for Fargate: task size").

use cloud::Error;
use shapes::ecs::EphemeralStorage;
use shapes::ecs::errors::ClientException;

/// What a task's containers may write to their disk when nobody asks for more, in GiB.
pub const STORAGE_GIB_DEFAULT: i32 = 20;
/// What may be asked for.
const STORAGE_GIB: std::ops::RangeInclusive<i32> = 21..=200;

/// Checks how much disk is asked for, if it is.
pub fn check_storage(asked: Option<&EphemeralStorage>) -> Result<(), Error> {
    let Some(EphemeralStorage { size_in_gi_b }) = asked else {
        return Ok(());
    };
    if STORAGE_GIB.contains(size_in_gi_b) {
        return Ok(());
    }
    let (least, most) = (STORAGE_GIB.start(), STORAGE_GIB.end());
    Err(ClientException.because(if size_in_gi_b < least {
        format!("EphemeralStorage size should be at least {least}.")
    } else {
        format!("EphemeralStorage size should be at most {most}.")
    }))
}

/// CPU units, least and most memory in MiB, and the step between.
const SIZES: [(u32, u32, u32, u32); 6] = [
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

fn exists(cpu: u32, memory: u32) -> bool {
    if cpu == 256 {
        return [512, 1024, 2048].contains(&memory);
    }
    SIZES.iter().any(|(units, least, most, step)| {
        *units == cpu
            && (*least..=*most).contains(&memory)
            && (memory - least).is_multiple_of(*step)
    })
}

/// CPU units and MiB of a task, from texts as the API takes them.
pub fn task_size(cpu: Option<&str>, memory: Option<&str>) -> Result<(u32, u32), Error> {
    let lacks = |what: &str| {
        ClientException.because(format!(
            "Fargate requires that '{what}' be defined at the task level."
        ))
    };
    let cpu = parse(cpu.ok_or_else(|| lacks("cpu"))?, "vcpu", "cpu")?;
    let memory = parse(memory.ok_or_else(|| lacks("memory"))?, "gb", "memory")?;
    if exists(cpu, memory) {
        Ok((cpu, memory))
    } else {
        Err(ClientException.because("No Fargate configuration exists for given values."))
    }
}

/// The same of a task on instances, which may leave either open (API reference of `RegisterTaskDefinition`:
/// from 0.125 to 192 vCPUs).
pub fn own_size(
    cpu: Option<&str>,
    memory: Option<&str>,
) -> Result<(Option<u32>, Option<u32>), Error> {
    const CPU: std::ops::RangeInclusive<u32> = 128..=196_608;
    const MEMORY_MIN: u32 = 6;
    let given = |it: Option<&str>, unit, what| match it.filter(|it| !it.is_empty()) {
        Some(text) => parse(text, unit, what).map(Some),
        None => Ok(None),
    };
    let (cpu, memory) = (given(cpu, "vcpu", "cpu")?, given(memory, "gb", "memory")?);
    if cpu.is_some_and(|it| !CPU.contains(&it)) {
        return Err(ClientException.because("Invalid 'cpu' setting for task."));
    }
    if memory.is_some_and(|it| it < MEMORY_MIN) {
        return Err(ClientException.because("Invalid 'memory' setting for task."));
    }
    Ok((cpu, memory))
}

/// `512`, or `.5 vCPU`, or `0.5GB`: 1024 to the unit.
fn parse(text: &str, unit: &str, what: &str) -> Result<u32, Error> {
    let lower = text.trim().to_ascii_lowercase();
    let number = match lower.strip_suffix(unit) {
        None => lower.parse::<u32>().ok(),
        Some(count) => (count.trim().parse::<f64>().ok())
            .map(|count| (count * 1024.0).round())
            .filter(|units| (0.0..=f64::from(u32::MAX)).contains(units))
            .map(|units| units as u32),
    };
    number.ok_or_else(|| {
        ClientException.because(format!("Invalid '{what}' setting for task: {text}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_table() {
        for (cpu, memory, wanted) in [
            ("256", "512", Some((256, 512))),
            ("256", "2048", Some((256, 2048))),
            (".25 vCPU", "0.5 GB", Some((256, 512))),
            ("1vcpu", "8GB", Some((1024, 8192))),
            ("16384", "122880", Some((16_384, 122_880))),
            ("256", "9999", None),
            ("256", "4096", None),
            ("512", "1536", None),
            ("8192", "17408", None),
            ("300", "512", None),
            ("", "512", None),
            ("-1", "512", None),
        ] {
            assert_eq!(
                task_size(Some(cpu), Some(memory)).ok(),
                wanted,
                "{cpu} {memory}"
            );
        }
        let error = task_size(Some("256"), Some("9999")).unwrap_err();
        assert_eq!(error.code, "ClientException");
        assert_eq!(
            error.message,
            "No Fargate configuration exists for given values."
        );
        assert!(
            task_size(None, Some("512"))
                .unwrap_err()
                .message
                .contains("'cpu'")
        );
    }
}
