/**
 * The Markdown that models write, as page elements: headings, lists, quotes, tables, code, bold, italics and links.
 *
 * Text only ever becomes a text node, and a link only when it is http(s), so a reply can't bring markup or script with it.
 * While a reply grows, only its last blocks are built anew, so that what a reader has selected stays selected.
 */

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)[^`]*$/;
const ITEM = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const INLINE =
  /(`+)(.+?)\1(?!`)|\*\*(?=\S)(.+?\S|\S)\*\*|__(?=\S)(.+?\S|\S)__(?!\w)|\*(?=[^\s*])([^*]*[^\s*])\*|(?<!\w)_(?=[^\s_])([^_]*[^\s_])_(?!\w)|\[([^\]\n]+)\]\((https?:\/\/[^\s()]+(?:\([^\s()]*\)[^\s()]*)*)\)|(https?:\/\/[^\s<>()"']*[^\s<>()"'.,;:!?])/;

const built = new WeakMap();

/** Show `source` in `target`, keeping what is there already. */
export function renderMarkdown(target, source) {
  const blocks = split(source);
  blocks.forEach((block, index) => {
    const old = target.childNodes[index];
    if (old && built.get(old) === block.source) return;
    const node = block.build();
    built.set(node, block.source);
    if (old) old.replaceWith(node);
    else target.append(node);
  });
  while (target.childNodes.length > blocks.length) target.lastChild.remove();
}

/** Cut the text into blocks; each knows its own source, by which it is recognised. */
function split(source) {
  const lines = source.split(/\r?\n/);
  const blocks = [];
  let at = 0;
  const take = (isPart) => {
    const from = at;
    while (at < lines.length && isPart(lines[at], at - from)) at++;
    return lines.slice(from, at);
  };
  const add = (kind, part, build) => blocks.push({ source: `${kind}\n${part.join("\n")}`, build });
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (!line.trim()) {
      at++;
    } else if (fence) {
      at++;
      const code = take((l) => !(l.trim().startsWith(fence[1]) && l.trim().replaceAll(fence[1][0], "") === ""));
      at++; // The closing fence, or the end of a reply that is still being written.
      add(`code ${fence[2]}`, code, () => codeBlock(code.join("\n"), fence[2]));
    } else if (heading) {
      at++;
      add("heading", [line], () => element(`h${Math.min(6, heading[1].length + 3)}`, inline(heading[2])));
    } else if (/^ {0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) {
      at++;
      add("rule", [line], () => element("hr"));
    } else if (/^ {0,3}>/.test(line)) {
      const part = take((l) => /^ {0,3}>/.test(l));
      add("quote", part, () => {
        const quote = element("blockquote");
        renderMarkdown(quote, part.map((l) => l.replace(/^ {0,3}> ?/, "")).join("\n"));
        return quote;
      });
    } else if (ITEM.test(line)) {
      const part = take((l, i) => i === 0 || ITEM.test(l) || /^\s{2,}\S/.test(l) || (!l.trim() && ITEM.test(lines[at + 1] ?? "")));
      add("list", part, () => list(part.filter((l) => l.trim())));
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "") && lines[at + 1].includes("|")) {
      const part = take((l) => l.includes("|"));
      add("table", part, () => table(part));
    } else {
      const part = take((l, i) => i === 0 || !startsBlock(l));
      add("text", part, () => element("p", inline(part.join("\n"))));
    }
  }
  return blocks;
}

function startsBlock(line) {
  return !line.trim() || FENCE.test(line) || ITEM.test(line) || /^ {0,3}(#{1,6}\s|>)/.test(line);
}

/** A list with the lists inside it, by how far each line is indented. */
function list(lines) {
  const first = ITEM.exec(lines[0]);
  const root = element(first[2] ? "ol" : "ul");
  if (first[2] && first[2] !== "1") root.start = Number(first[2]);
  const indent = first[1].length;
  let at = 0;
  while (at < lines.length) {
    const match = ITEM.exec(lines[at]);
    const item = element("li", inline(match ? match[3] : lines[at].trim()));
    const inner = [];
    at++;
    while (at < lines.length && !((ITEM.exec(lines[at])?.[1].length ?? Infinity) <= indent + 1)) inner.push(lines[at++]);
    const nested = inner.findIndex((l) => ITEM.test(l));
    const text = nested < 0 ? inner : inner.slice(0, nested);
    for (const more of text) item.append("\n", ...inline(more.trim()));
    if (nested >= 0) item.append(list(inner.slice(nested)));
    root.append(item);
  }
  return root;
}

function table(lines) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const row = (line, tag) => element("tr", cells(line).map((cell) => element(tag, inline(cell))));
  const head = element("thead", [row(lines[0], "th")]);
  const body = element("tbody", lines.slice(2).map((line) => row(line, "td")));
  const scroller = element("div", [element("table", [head, body])]);
  scroller.className = "wide-table";
  return scroller;
}

function codeBlock(text, language) {
  const pre = element("pre", [element("code", [text])]);
  if (language) pre.dataset.language = language;
  return pre;
}

/** Turn one run of text into text nodes and the few elements that may stand inside it. */
function inline(text) {
  const nodes = [];
  let rest = text;
  for (let match = INLINE.exec(rest); match; match = INLINE.exec(rest)) {
    if (match.index > 0) nodes.push(rest.slice(0, match.index));
    const [, tick, code, bold, bold2, italic, italic2, label, address, bare] = match;
    if (tick) nodes.push(element("code", [code.replace(/^ (.*\S.*) $/, "$1")]));
    else if (bold ?? bold2) nodes.push(element("strong", inline(bold ?? bold2)));
    else if (italic ?? italic2) nodes.push(element("em", inline(italic ?? italic2)));
    else nodes.push(link(label ?? bare, address ?? bare));
    rest = rest.slice(match.index + match[0].length);
  }
  if (rest) nodes.push(rest);
  return nodes;
}

function link(label, address) {
  const a = element("a", [label]);
  a.href = address;
  a.target = "_blank";
  a.rel = "noopener noreferrer";
  return a;
}

function element(tag, children = []) {
  const node = document.createElement(tag);
  node.append(...children);
  return node;
}
