//! Whether Fargate has containers of a size, before anything is built.

use anyhow::{Result, bail};

/// Sizes are told apart by half a GiB, and none is larger than 120 GiB.
const STEP_MIB: u32 = 512;
const MEMORY_MIB_MAX: u32 = 122_880;

pub fn check(cpu: u32, memory: u32) -> Result<()> {
    let exists =
        |memory: u32| ecs::task_size(Some(&cpu.to_string()), Some(&memory.to_string())).is_ok();
    if exists(memory) {
        return Ok(());
    }
    let all = (1..=MEMORY_MIB_MAX / STEP_MIB).map(|it| it * STEP_MIB);
    let of_cpu: Vec<u32> = all.filter(|it| exists(*it)).collect();
    let (Some(least), Some(most)) = (of_cpu.first(), of_cpu.last()) else {
        bail!(
            "No Fargate configuration exists for {cpu} CPU units: `--cpu` is 256, 512, 1024, 2048, 4096, 8192 or 16384"
        );
    };
    let next = of_cpu.iter().find(|it| **it >= memory).unwrap_or(most);
    bail!(
        "No Fargate configuration exists for {cpu} CPU units and {memory} MiB: with `--cpu {cpu}`, `--memory` is {least} to {most}, as in `--memory {next}`"
    )
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_size_that_is_not_there_is_refused_with_one_that_is() {
        let refused = |cpu: u32, memory: u32| check(cpu, memory).unwrap_err().to_string();
        assert!(check(256, 512).is_ok() && check(16_384, 122_880).is_ok());
        assert!(refused(256, 513).ends_with("as in `--memory 1024`"));
        assert!(refused(256, 9999).ends_with("is 512 to 2048, as in `--memory 2048`"));
        assert!(refused(512, 512).ends_with("as in `--memory 1024`"));
        assert!(refused(300, 512).contains("`--cpu` is 256"));
    }
}
