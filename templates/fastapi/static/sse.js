/**
 * Server-sent events out of a streamed answer, however the network cuts it.
 *
 * An event ends at a blank line, its `data:` lines are joined, comments and other fields are passed over. An event that
 * lacks its blank line at the end is given out all the same.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<string>} the data of one event at a time
 */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      const lines = (rest + (done ? "\n\n" : value)).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        } else if (line === "" && data.length > 0) {
          yield data.join("\n");
          data = [];
        }
      }
      if (done) return;
    }
  } finally {
    // Leaving early hangs up, so that the gateway cancels the call.
    await reader.cancel().catch(() => {});
  }
}
