//! Sends the HTTP requests that it is told to, and says what came of each; and looks for bytes in its own memory.
//!
//! A component only: a native build of this crate is empty.
#![cfg(target_family = "wasm")]

use serde::{Deserialize, Serialize};
use tasq_sdk::{Failure, Json, Task, config};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

tasq_sdk::handler!(fetch);

#[derive(Deserialize)]
struct Asked {
    /// All sent before the first answer is read.
    #[serde(default)]
    requests: Vec<Wanted>,
    /// Bytes, each with all bits turned over, to be looked for in this memory.
    #[serde(default)]
    find_inverted: Vec<u8>,
}

#[derive(Deserialize)]
struct Wanted {
    url: String,
    method: Option<String>,
    /// A value `{NAME}` within one is the setting of that name.
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// So many bytes of body.
    #[serde(default)]
    body: usize,
    between_bytes_ms: Option<u64>,
    /// So often the same.
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

#[derive(Serialize)]
struct Told {
    answers: Vec<Answer>,
    found: usize,
}

#[derive(Default, Serialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    text: String,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn fetch(Json(asked): Json<Asked>, _: &Task) -> Result<String, Failure> {
    let wanted = asked.requests.iter().flat_map(|wanted| std::iter::repeat_n(wanted, wanted.times));
    let sent: Vec<_> = wanted.map(send).collect();
    let answers = sent.into_iter().map(|sent| match sent.and_then(answer) {
        Ok(answer) => answer,
        Err(error) => Answer { error: Some(error), ..Answer::default() },
    });
    let answers = answers.collect();
    Ok(serde_json::to_string(&Told { answers, found: found(&asked.find_inverted) }).expect("plain values"))
}

fn code(error: ErrorCode) -> String {
    let shown = format!("{error:?}");
    shown.trim_start_matches("ErrorCode::").to_owned()
}

fn send(wanted: &Wanted) -> Result<FutureIncomingResponse, String> {
    let (scheme, rest) = wanted.url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let headers = Fields::new();
    for (name, value) in &wanted.headers {
        let mut value = value.clone();
        if let Some((before, rest)) = value.clone().split_once('{')
            && let Some((name, after)) = rest.split_once('}')
        {
            value = format!("{before}{}{after}", config::get(name).unwrap_or_default());
        }
        headers.append(name, value.as_bytes()).map_err(|error| format!("header: {error:?}"))?;
    }
    let request = OutgoingRequest::new(headers);
    let method = match wanted.method.as_deref().unwrap_or("GET") {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "authority")?;
    request.set_path_with_query(Some(path)).map_err(|()| "path")?;
    let options = wanted.between_bytes_ms.map(|ms| {
        let options = RequestOptions::new();
        options.set_between_bytes_timeout(Some(ms * 1_000_000)).expect("a time");
        options
    });
    let body = (wanted.body > 0).then(|| request.body().expect("the first"));
    let answer = handle(request, options).map_err(code)?;
    if let Some(body) = body {
        write(body, wanted.body);
    }
    Ok(answer)
}

/// What can't be written shows in the answer.
fn write(body: OutgoingBody, bytes: usize) {
    let stream = body.write().expect("the first");
    let mut left = bytes;
    while left > 0 {
        let piece = [b'x'; 4096];
        let now = left.min(piece.len());
        if stream.blocking_write_and_flush(&piece[..now]).is_err() {
            break;
        }
        left -= now;
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn answer(sent: FutureIncomingResponse) -> Result<Answer, String> {
    sent.subscribe().block();
    let response = sent.get().expect("it is ready").expect("the first").map_err(code)?;
    let headers = response.headers().entries();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let status = response.status();
    let (head, bytes, error) = read(response);
    Ok(Answer { status, headers, text: text(&head), bytes, error })
}

/// The host's backtrace may follow.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The first bytes, how many there were, and what broke it off.
fn read(response: IncomingResponse) -> (Vec<u8>, usize, Option<String>) {
    let body: IncomingBody = response.consume().expect("the first");
    let stream = body.stream().expect("the first");
    let (mut head, mut bytes) = (Vec::new(), 0);
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(read) => {
                bytes += read.len();
                head.extend_from_slice(&read[..read.len().min(2048usize.saturating_sub(head.len()))]);
            }
            Err(StreamError::Closed) => return (head, bytes, None),
            Err(StreamError::LastOperationFailed(error)) => {
                let error = wasip2::http::types::http_error_code(&error)
                    .map_or_else(|| first_line(&error.to_debug_string()), code);
                return (head, bytes, Some(error));
            }
        }
    }
}

/// How often bytes stand anywhere in this memory. They are never put together here, so none is found for that.
fn found(inverted: &[u8]) -> usize {
    let (Some(first), end) = (inverted.first(), core::arch::wasm32::memory_size(0) << 16) else { return 0 };
    let at = |address: usize| {
        // SAFETY: within the memory, all of which is there.
        unsafe { std::ptr::read_volatile(std::ptr::with_exposed_provenance::<u8>(address)) }
    };
    let matches = |start: usize| inverted.iter().enumerate().all(|(index, byte)| at(start + index) == !byte);
    (1..end.saturating_sub(inverted.len())).filter(|start| at(*start) == !first && matches(*start)).count()
}
