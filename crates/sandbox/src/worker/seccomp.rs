//! The system calls that a worker does without.
//!
//! A list of what is forbidden and not of what is allowed: the C library, the runtime and the cryptography use other calls
//! in other versions, and a worker that fails at night because of an update helps nobody. What makes up for that: a number
//! above those that were known when this was written does not exist for the worker, and it can make no process, so that
//! whatever it could execute would be itself.
//!
//! Four filters, each one answer; the kernel takes the sternest (seccomp(2)).

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, sock_filter};

use super::words;

/// What no mistake of ours calls: whoever does is an attacker, and the whole process ends (`SIGSYS`).
const FATAL: &[c_long] = &[
    // Reading and writing other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    // Code in the kernel, and another kernel.
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    libc::SYS_reboot,
];

/// What fails with `EPERM`, as it does without the right to it.
const FORBIDDEN: &[c_long] = &[
    // Other programs. New processes are forbidden below, by the flags of `clone`.
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    // Other views of the computer, in which a user can be root, and through that much of the kernel be reached.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Being somebody else.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    // Other processes of the same user.
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Parts of the kernel with a long history of holes, of no use to a server.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_lookup_dcookie,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_vmsplice,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    // Files by number instead of by path, past every folder's permissions.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The computer as a whole.
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    // Special files.
    libc::SYS_mknodat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
];

/// What does not exist (`ENOSYS`), so that whoever tries it does it the older way.
const ABSENT: &[c_long] = &[
    // Its flags are in memory, where a filter cannot see them; the C library then uses `clone`.
    libc::SYS_clone3,
    // Its operations pass by every filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// The first number that was not known when this was written (Linux 6.18, the same for all architectures). On x86-64 that
/// leaves out the x32 twins of all calls too, which start at 0x4000_0000 and would pass by the lists.
const UNKNOWN: u32 = 470;

/// Kinds of sockets that a server has.
const FAMILIES: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// ioctl_tty(2). Here, since their type differs from one C library to the other.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;

/// Filters the system calls of all threads, for good.
pub(super) fn filter() -> Result<(), String> {
    let unconditional = |list: &[c_long]| list.iter().map(|number| (*number, vec![])).collect::<BTreeMap<_, _>>();
    let mut forbidden = unconditional(FORBIDDEN);
    forbidden.extend(conditional().map_err(words)?);
    let all = [
        (unconditional(ABSENT), SeccompAction::Errno(libc::ENOSYS as u32)),
        (forbidden, SeccompAction::Errno(libc::EPERM as u32)),
        (unconditional(FATAL), SeccompAction::KillProcess),
    ];
    let arch = std::env::consts::ARCH.try_into().map_err(words)?;
    for (rules, answer) in all {
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).map_err(words)?;
        let program: BpfProgram = filter.try_into().map_err(words)?;
        seccompiler::apply_filter_all_threads(&program).map_err(words)?;
    }
    seccompiler::apply_filter_all_threads(&known_only()).map_err(words)
}

/// What is forbidden with certain arguments only.
fn conditional() -> Result<Vec<(c_long, Vec<SeccompRule>)>, BackendError> {
    let masked = |argument, mask: u64, value: u64| SeccompCondition::new(argument, Qword, MaskedEq(mask), value);
    let one = |condition| SeccompRule::new(vec![condition]);
    let own = u64::from(std::process::id());
    let not_us = || one(SeccompCondition::new(0, Dword, Ne, own)?);
    let thread = libc::CLONE_THREAD as u64;
    let spaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    // A thread is no process; and none of them in a view of its own.
    let mut clone = vec![one(masked(0, thread, 0)?)?];
    for space in spaces {
        clone.push(one(masked(0, space as u64, space as u64)?)?);
    }
    let strange = FAMILIES.iter().map(|family| SeccompCondition::new(0, Dword, Ne, *family as u64));
    let (write, execute) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
    let strange = SeccompRule::new(strange.collect::<Result<_, _>>()?)?;
    Ok(vec![
        (libc::SYS_clone, clone),
        (libc::SYS_socket, vec![strange]),
        // Memory that is written and then executed.
        (libc::SYS_mmap, vec![one(masked(2, write | execute, write | execute)?)?]),
        (libc::SYS_mprotect, vec![one(masked(2, execute, execute)?)?]),
        (libc::SYS_pkey_mprotect, vec![one(masked(2, execute, execute)?)?]),
        (libc::SYS_shmat, vec![one(masked(2, libc::SHM_EXEC as u64, libc::SHM_EXEC as u64)?)?]),
        // Typing into a terminal that is shared with a shell.
        (
            libc::SYS_ioctl,
            vec![
                one(SeccompCondition::new(1, Dword, Eq, TIOCSTI)?)?,
                one(SeccompCondition::new(1, Dword, Eq, TIOCLINUX)?)?,
            ],
        ),
        // Only ourselves: `abort` must work.
        (libc::SYS_kill, vec![not_us()?]),
        (libc::SYS_tgkill, vec![not_us()?]),
        // 0 is ourselves.
        (
            libc::SYS_prlimit64,
            vec![SeccompRule::new(vec![
                SeccompCondition::new(0, Dword, Ne, 0)?,
                SeccompCondition::new(0, Dword, Ne, own)?,
            ])?],
        ),
    ])
}

/// Written by hand, since the library compares numbers only with each other: `if nr >= UNKNOWN return ENOSYS`.
fn known_only() -> BpfProgram {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// Where `struct seccomp_data` has the number.
    const NUMBER: u32 = 0;
    let step = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    vec![
        step(LOAD, 0, NUMBER),
        step(JUMP_IF_AT_LEAST, 1, UNKNOWN),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}
