//! Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes.
const std = @import("std");

/// Bad data: never again.
const discard = 65;

pub fn main(init: std.process.Init) !u8 {
    var reader = std.Io.File.stdin().readerStreaming(init.io, &.{});
    const text = try reader.interface.allocRemaining(init.arena.allocator(), .unlimited);
    if (text.len == 0) {
        // Whatever the status, the last line decides.
        return say(init.io, "tasq: snooze 30s: nothing to count yet\n", 1);
    }
    const characters = std.unicode.utf8CountCodepoints(text) catch return say(init.io, "no UTF-8\n", discard);
    var words = std.mem.tokenizeAny(u8, text, " \t\n\r\x0c");
    var count: usize = 0;
    while (words.next()) |_| count += 1;
    const counts = .{ .lines = std.mem.count(u8, text, "\n"), .words = count, .characters = characters };
    const json = try std.json.Stringify.valueAlloc(init.arena.allocator(), counts, .{});
    try std.Io.File.stdout().writeStreamingAll(init.io, json);
    return 0;
}

fn say(io: std.Io, text: []const u8, status: u8) !u8 {
    try std.Io.File.stderr().writeStreamingAll(io, text);
    return status;
}
