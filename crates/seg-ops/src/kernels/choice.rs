//! The choice among what this CPU has, by the environment.

/// The first of `available`, which are sorted, or the one whose name `wanted` is, the content of an environment variable.
///
/// # Errors
/// Returns a sentence that begins with the variable and its content, goes on with `is_not`, and lists the names, if none of them is `wanted`.
pub(super) fn choose<T: Copy>(
    variable: &str,
    wanted: Option<&str>,
    available: &[T],
    name: fn(T) -> &'static str,
    is_not: &str,
) -> Result<T, String> {
    let Some(wanted) = wanted.filter(|name| !name.is_empty()) else {
        return Ok(available[0]);
    };
    let found = available.iter().copied().find(|&one| name(one) == wanted);
    found.ok_or_else(|| {
        let names: Vec<_> = available.iter().map(|&one| name(one)).collect();
        format!(
            "{variable}={wanted} {is_not}: use one of {}",
            names.join(", ")
        )
    })
}
