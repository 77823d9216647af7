//! Looks into an archive: teaches bytes as payload, streams of std without an operating system, and a limit on what is unpacked.
//!
//! A .tar or .tar.gz gives {"files": [{"path": "a/b.txt", "bytes": 5, "sha256": "…"}, {"path": "c", "link": "a"}], "bytes": 5}. Nothing is kept but names and sums:
//! the archive flows through a window of 64 KiB. More than 256 MiB in it is discarded as `too-large`, before it is unpacked.
const std = @import("std");
const tasq = @import("tasq/tasq.zig");

pub const std_options: std.Options = .{ .logFn = tasq.log.std_log };
pub const panic = tasq.panic;

comptime {
    tasq.exportHandler(handle);
}

const most_bytes = 256 << 20;

const Entry = struct {
    path: []const u8,
    bytes: ?u64 = null,
    sha256: ?[]const u8 = null,
    link: ?[]const u8 = null,
};

fn handle(gpa: std.mem.Allocator, payload: []const u8, task: tasq.Task) anyerror![]const u8 {
    _ = task;
    var bytes: u64 = 0;
    const files = entries(gpa, payload, &bytes) catch |err| switch (err) {
        error.OutOfMemory => return err,
        error.TooLarge => return tasq.fail(.{ .kind = .discard, .code = "too-large", .message = "the archive has more than 256 MiB in it" }),
        else => return tasq.fail(.{
            .kind = .discard,
            .code = "invalid-payload",
            .message = try std.fmt.allocPrint(gpa, "expected a whole .tar or .tar.gz: {t}", .{err}),
        }),
    };
    std.log.info("{d} files", .{files.len});
    return std.json.Stringify.valueAlloc(gpa, .{ .files = files, .bytes = bytes }, .{ .emit_null_optional_fields = false });
}

fn entries(gpa: std.mem.Allocator, payload: []const u8, bytes: *u64) ![]const Entry {
    var packed_reader: std.Io.Reader = .fixed(payload);
    var window: [std.compress.flate.max_window_len]u8 = undefined;
    var inflate: std.compress.flate.Decompress = .init(&packed_reader, .gzip, &window);
    // std reads the checksum at the end, and leaves it to us to hold it against what came before.
    var chunk: [4096]u8 = undefined;
    var checked = inflate.reader.hashed(std.hash.Crc32.init(), &chunk);
    const is_gzip = std.mem.startsWith(u8, payload, "\x1f\x8b");
    const reader = if (is_gzip) &checked.reader else &packed_reader;

    var found: std.ArrayList(Entry) = .empty;
    var names: [2][4096]u8 = undefined;
    var archive: std.tar.Iterator = .init(reader, .{ .file_name_buffer = &names[0], .link_name_buffer = &names[1] });
    while (try archive.next()) |file| {
        const path = try text(gpa, file.name);
        switch (file.kind) {
            .directory => {},
            .sym_link => try found.append(gpa, .{ .path = path, .link = try text(gpa, file.link_name) }),
            .file => {
                if (file.size > most_bytes - bytes.*) return error.TooLarge;
                bytes.* += file.size;
                try found.append(gpa, .{ .path = path, .bytes = file.size, .sha256 = try sum(gpa, reader, file.size) });
                archive.unread_file_bytes = 0;
            },
        }
    }
    if (found.items.len == 0 and payload.len < 1024) return error.NoArchive;
    // What stands behind the archive, zeros as a rule, has to be read for the checksum.
    if (reader.discardAll64(most_bytes)) return error.TooLarge else |err| if (err != error.EndOfStream) return err;
    if (is_gzip and checked.hasher.final() != inflate.container_metadata.gzip.crc) return error.WrongGzipChecksum;
    return found.items;
}

fn sum(gpa: std.mem.Allocator, reader: *std.Io.Reader, size: u64) ![]const u8 {
    const Sha256 = std.crypto.hash.sha2.Sha256;
    var sha: Sha256 = .init(.{});
    var chunk: [4096]u8 = undefined;
    var left = size;
    while (left > 0) {
        const part = chunk[0..@intCast(@min(left, chunk.len))];
        try reader.readSliceAll(part);
        sha.update(part);
        left -= part.len;
    }
    return std.fmt.allocPrint(gpa, "{x}", .{sha.finalResult()});
}

/// A name may be any bytes, JSON may not.
fn text(gpa: std.mem.Allocator, name: []const u8) ![]const u8 {
    return std.fmt.allocPrint(gpa, "{f}", .{std.unicode.fmtUtf8(name)});
}

// ---- Tests -------------------------------------------------------------------------------

const testing = std.testing;

/// Two files, a folder and a link, as `tar` would write them.
fn example(gpa: std.mem.Allocator) ![]const u8 {
    var out: std.Io.Writer.Allocating = .init(gpa);
    var tar: std.tar.Writer = .{ .underlying_writer = &out.writer };
    try tar.writeDir("größe", .{});
    try tar.writeFileBytes("größe/hello.txt", "hello", .{});
    try tar.writeFileBytes("empty", "", .{});
    try tar.writeLink("link", "größe/hello.txt", .{});
    try tar.finishPedantically();
    return out.written();
}

fn zipped(gpa: std.mem.Allocator, bytes: []const u8) ![]const u8 {
    var out: std.Io.Writer.Allocating = try .initCapacity(gpa, 4096);
    var window: [std.compress.flate.max_window_len]u8 = undefined;
    var deflate: std.compress.flate.Compress = try .init(&out.writer, &window, .gzip, .default);
    try deflate.writer.writeAll(bytes);
    try deflate.finish();
    return out.written();
}

const seen =
    \\{"files":[{"path":"größe/hello.txt","bytes":5,"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
++
    \\{"path":"empty","bytes":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
++
    \\{"path":"link","link":"größe/hello.txt"}],"bytes":5}
;

test "sees what is in an archive" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const gpa = arena.allocator();
    const tar = try example(gpa);
    for ([_][]const u8{ tar, try zipped(gpa, tar) }) |payload| {
        try testing.expectEqualStrings(seen, try handle(gpa, payload, tasq.first_run));
    }
}

test "discards what is no archive, or a damaged one" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const gpa = arena.allocator();
    const tar = try example(gpa);
    const gz = try zipped(gpa, tar);
    const spoilt = try gpa.dupe(u8, gz);
    spoilt[spoilt.len - 8] +%= 1; // the checksum at the end
    const bad = [_][]const u8{ "", "text", "\x1f\x8b", &([1]u8{'a'} ** 2048), tar[0..1100], gz[0 .. gz.len / 2], gz[0 .. gz.len - 4], spoilt };
    for (bad) |payload| {
        try testing.expectError(error.Failed, handle(gpa, payload, tasq.first_run));
        try testing.expectEqualStrings("invalid-payload", tasq.lastFailure().?.code);
    }
}

test "discards what would unpack to too much" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const gpa = arena.allocator();
    var out: std.Io.Writer.Allocating = .init(gpa);
    var tar: std.tar.Writer = .{ .underlying_writer = &out.writer };
    var nothing: std.Io.Reader = .fixed("");
    tar.writeFileStream("bomb", most_bytes + 1, &nothing, .{}) catch {}; // its header says so; there is no more
    try testing.expectError(error.Failed, handle(gpa, out.written(), tasq.first_run));
    try testing.expectEqualStrings("too-large", tasq.lastFailure().?.code);
}
