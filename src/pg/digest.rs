//! What stands for a row's key where keys have to be told apart in little room: in the records' index, which lasts, and in
//! sets in memory, which do not. And the C entry point for the index: called for each record that is written, so that the
//! bridge's wrapper would be felt. Why it is as it is: docs/adr/001-record-identity.md.

use pgrx::pg_sys::{self, Datum};
use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};

/// Keys of up to so many bytes stand for themselves in the index.
const SHORT: usize = 32;
/// Before a digest, where the length of a short key would be.
const LONG: u8 = 0xff;

/// What stands for a key in the index.
pub struct Identity {
    bytes: [u8; 1 + SHORT],
    length: usize,
}

impl Identity {
    /// Of a text of any length. A short one is its own: its length, so that numbers of more digits come later, and its
    /// bytes. A longer one's is its BLAKE3 digest, of 256 bits, behind a byte that is no length. It must never change:
    /// records are unique by it.
    pub fn of(text: &[u8]) -> Identity {
        let mut bytes = [0; 1 + SHORT];
        let length = match bytes.get_mut(1..1 + text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                bytes[0] = text.len() as u8;
                1 + text.len()
            }
            None => {
                bytes[0] = LONG;
                bytes[1..].copy_from_slice(blake3::hash(text).as_bytes());
                bytes.len()
            }
        };
        Identity { bytes, length }
    }

    /// As the index holds it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

thread_local! {
    static SECRET: OnceCell<[u8; 32]> = const { OnceCell::new() };
    static PAIR: (RandomState, RandomState) = (RandomState::new(), RandomState::new());
}

/// Drawn once in each process.
fn secret() -> [u8; 32] {
    SECRET.with(|secret| {
        *secret.get_or_init(|| {
            let mut bytes = [0; 32];
            // SAFETY: the array is in this frame, and its length is given.
            if !unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), bytes.len()) } {
                pgrx::error!("could not generate random values");
            }
            bytes
        })
    })
}

/// A number that stands for a text in this process alone. Of up to 15 bytes it is the text itself; of a longer one a hash
/// with the process's secret, so that nobody can choose two texts that share one.
pub fn mark(text: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    match bytes.get_mut(1..1 + text.len()) {
        Some(place) => {
            place.copy_from_slice(text);
            bytes[0] = text.len() as u8;
        }
        None => {
            bytes.copy_from_slice(&blake3::keyed_hash(&secret(), text).as_bytes()[..16]);
            bytes[0] = LONG;
        }
    }
    u128::from_be_bytes(bytes)
}

/// The same for such a number and another one, in 16 bytes: by SipHash under two secrets of the process, since there may be
/// millions of them, and nobody may choose two pairs that share one.
pub fn pair(mark: u128, number: i64) -> u128 {
    let half = |state: &RandomState| u128::from(state.hash_one((mark, number)));
    PAIR.with(|(a, b)| half(a) << 64 | half(b))
}

/// 32 bits of a text, for locks: whoever makes two texts share them waits where they would not have to.
pub fn lock_number(text: &[u8]) -> u32 {
    let digest = blake3::hash(text);
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

// As in fmgr.h and utils/palloc.h. Both may raise, where nothing is owned: see `key_identity`.
unsafe extern "C-unwind" {
    #[link_name = "pg_detoast_datum_packed"]
    fn raw_detoast(value: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    #[link_name = "palloc"]
    fn raw_palloc(size: usize) -> *mut std::ffi::c_void;
}

/// Tells the server the calling convention of `key_identity`.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_key_identity() -> &'static pg_sys::Pg_finfo_record {
    const VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}

/// `jittask.key_identity(text)`, strict. Without the bridge's guard: nothing here panics, and an ERROR of the server's jumps
/// over nothing that has to be dropped.
///
/// # Safety
/// Only the server may call it, with one argument, a text that is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn key_identity(call: pg_sys::FunctionCallInfo) -> Datum {
    // SAFETY: the function is strict and of one text, so the argument is there. The text, whole after detoasting, and
    // the room for the result are in the call's memory context; the room is for the header and all bytes of the
    // identity.
    unsafe {
        let arguments = (*call).args.as_slice(1);
        let text = raw_detoast(arguments[0].value.cast_mut_ptr());
        let bytes = std::slice::from_raw_parts(
            pgrx::varlena::vardata_any(text).cast::<u8>(),
            pgrx::varlena::varsize_any_exhdr(text),
        );
        let identity = Identity::of(bytes);
        let (found, size) = (identity.bytes(), pg_sys::VARHDRSZ + identity.length);
        let place = raw_palloc(size).cast::<u8>();
        pgrx::varlena::set_varsize_4b(place.cast(), size as i32);
        std::ptr::copy_nonoverlapping(found.as_ptr(), place.add(pg_sys::VARHDRSZ), found.len());
        Datum::from(place)
    }
}
