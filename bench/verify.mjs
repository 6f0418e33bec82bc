// A second verifier of exported evidence, written from contract.md §4 and §5 alone: Node.js, nothing but node:crypto.
//
//   node bench/verify.mjs DIR… [--key RAW_BASE64|VKEY] [--auditor VKEY]     one JSON object a directory, one a line:
//   {dir, ok, size, first_bad, codes}                        codes: what was found, in words of this program
//
// It checks bytes against leaf hashes, the form and place of every record, the configuration in force, checkpoints and
// receipts against the tree, and witness records. It recomputes no energies.
import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leafHash = (record) => sha256(Buffer.of(0), record);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);

class Tree {
  nodes = [];
  size = 0;
  append(leaf) {
    let node = leaf;
    for (let size = this.size; size % 2 === 1; size = Math.floor(size / 2)) node = nodeHash(this.nodes.pop(), node);
    this.nodes.push(node);
    this.size += 1;
  }
  root() {
    if (!this.nodes.length) return sha256();
    return this.nodes.slice(0, -1).reduceRight((node, left) => nodeHash(left, node), this.nodes.at(-1));
  }
}

// RFC 8785 for values without floats: keys sorted by UTF-16 units, no spaces
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object")
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new Error(`a number that is no integer: ${value}`);
  return JSON.stringify(value);
}

function parseNote(text) {
  const gap = text.lastIndexOf("\n\n");
  if (gap < 0 || !text.endsWith("\n")) throw new Error("no note");
  const body = text.slice(0, gap + 1);
  const signatures = text.slice(gap + 2, -1).split("\n").map((line) => {
    const found = /^— (\S+) (\S+)$/u.exec(line);
    if (!found) throw new Error("no signature line");
    const data = Buffer.from(found[2], "base64");
    if (data.toString("base64") !== found[2] || data.length < 5) throw new Error("no canonical base64");
    return { name: found[1], id: data.subarray(0, 4), data: data.subarray(4) };
  });
  const lines = body.split("\n");
  if (lines.length !== 4 || !/^(0|[1-9][0-9]{0,18})$/.test(lines[1])) throw new Error("no checkpoint");
  const root = Buffer.from(lines[2], "base64");
  if (root.length !== 32 || root.toString("base64") !== lines[2]) throw new Error("no root");
  return { body, signatures, origin: lines[0], size: Number(lines[1]), root };
}

function ed25519(raw) {
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
}

function signedBy(note, name, raw) {
  const id = sha256(Buffer.from(`${name}\n`), Buffer.of(1), raw).subarray(0, 4);
  const line = note.signatures.find((signature) => signature.name === name && signature.id.equals(id));
  return !!line && line.data.length === 64 && verifySignature(null, Buffer.from(note.body), ed25519(raw), line.data);
}

// base64 holds id ‖ POSIX seconds, 8 bytes big-endian ‖ signature over `cosignature/v1\ntime {seconds}\n` + the text
function cosignedBy(note, auditor) {
  const [name, , ...rest] = auditor.split("+");
  const key = Buffer.from(rest.join("+"), "base64");
  const id = sha256(Buffer.from(`${name}\n`), key).subarray(0, 4);
  const line = note.signatures.find((signature) => signature.name === name && signature.id.equals(id));
  if (!line || line.data.length !== 72 || key[0] !== 4) return false;
  const text = `cosignature/v1\ntime ${line.data.readBigUInt64BE(0)}\n${note.body}`;
  return verifySignature(null, Buffer.from(text), ed25519(key.subarray(1)), line.data.subarray(8));
}

function splitNotes(path) {
  if (!existsSync(path)) return [];
  const parts = readFileSync(path, "utf8").split("--\n");
  return parts.filter((part) => part.trim());
}

const HEAD = ["v", "kind", "park", "gateway", "epoch", "seq", "boot", "boot_ms", "at", "clock", "clock_error_ms", "config", "salt"];

function verifyDirectory(dir, givenKey, auditor) {
  const found = [];
  const add = (code, seq = null) => found.push({ code, seq });
  const keyText = (givenKey ?? readFileSync(join(dir, "key.txt"), "utf8")).trim();
  const keyParts = keyText.split("+");
  const raw = keyParts.length > 1 ? Buffer.from(keyParts.slice(2).join("+"), "base64").subarray(1) : Buffer.from(keyText, "base64");
  const leaves = readFileSync(join(dir, "hashes.txt"), "latin1").split("\n").filter((line) => line.trim())
    .map((line) => (/^[0-9a-f]{64}$/.test(line) ? Buffer.from(line, "hex") : Buffer.alloc(32)));
  const bytes = readFileSync(join(dir, "records.ndjson"));
  const lines = [];
  for (let at = 0; at < bytes.length; ) {
    let end = bytes.indexOf(10, at);
    if (end < 0) end = bytes.length;
    if (end > at) lines.push(bytes.subarray(at, end));
    at = end + 1;
  }
  const places = new Map();
  leaves.forEach((leaf, index) => { const name = leaf.toString("hex"); if (!places.has(name)) places.set(name, index); });
  const held = new Map();
  let at = 0;
  for (const line of lines) {
    const leaf = leafHash(line);
    let place = at;
    if (at >= leaves.length || !leaf.equals(leaves[at])) place = places.get(leaf.toString("hex")) ?? at;
    if (place < at) { add("order", place); continue; }
    if (place >= leaves.length) { add("extra", at); continue; }
    if (!leaf.equals(leaves[place])) add("hash", place);
    held.set(place, line);
    at = place + 1;
  }
  let identity = null, config = "";
  const named = [], receipts = splitNotes(join(dir, "receipts.txt"));
  for (const [seq, line] of held) {
    try {
      const record = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
      if (HEAD.some((name) => !(name in record)) || record.v !== 1) { add("malformed", seq); continue; }
      if (!Buffer.from(canonical(record)).equals(line)) add("form", seq);
      if (record.seq !== seq) add("seq", seq);
      const name = `${record.park}/${record.gateway}/${record.epoch}`;
      identity ??= name;
      if (name !== identity) add("identity", seq);
      if (record.config !== config) add("config", seq);
      if ((record.at === null) !== (record.clock === "none")) add("clock", seq);
      if (record.kind === "config") config = leaves[seq].toString("hex");
      if (record.kind === "pruned" && (record.of_epoch ?? record.epoch) === record.epoch) named.push(...record.ranges);
      if (record.kind === "witness") receipts.push(record.receipt);
    } catch { add("malformed", seq); }
  }
  for (let seq = 0, open = false; seq < leaves.length; seq += 1) {
    const hole = !held.has(seq) && !named.some(([first, last]) => first <= seq && seq <= last);
    if (hole && !open) add("hole", seq);
    open = hole;
  }
  const altered = found.filter((one) => one.code === "hash").map((one) => one.seq);
  notes({ dir, identity, raw, leaves, receipts, add, altered, auditor });
  const seqs = found.map((one) => one.seq).filter((seq) => seq !== null);
  const codes = [...new Set(found.map((one) => one.code))].sort();
  return { dir, ok: !found.length, size: leaves.length, first_bad: seqs.length ? Math.min(...seqs) : null, codes };
}

function notes({ dir, identity, raw, leaves, receipts, add, altered, auditor }) {
  const origin = identity === null ? null : `hubiao/${identity}`;
  const read = (text, code) => {
    try {
      const note = parseNote(text);
      if (origin !== null && note.origin !== origin) { add("origin"); return null; }
      if (!signedBy(note, note.origin, raw)) { add(code); return null; }
      return { ...note, code };
    } catch { add(code); return null; }
  };
  const signed = splitNotes(join(dir, "checkpoints.txt")).map((text) => read(text, "checkpoint")).filter(Boolean);
  const witnessed = [...new Set(receipts)].map((text) => {
    const note = read(text, "receipt");
    if (auditor === undefined || note === null) return note;
    if (cosignedBy(note, auditor)) return note;
    add("receipt");
    return null;
  }).filter(Boolean);
  const all = [...signed, ...witnessed];
  const wanted = new Set(all.map((note) => note.size)), roots = new Map([[0, sha256()]]), tree = new Tree();
  for (const leaf of leaves) { tree.append(leaf); if (wanted.has(tree.size)) roots.set(tree.size, tree.root()); }
  let largest = 0;
  const seen = new Map();
  const good = (notes) => [0, ...notes.filter((note) => roots.get(note.size)?.equals(note.root)).map((note) => note.size)];
  // what a wrong root leaves in doubt begins at the last good one below; where bytes are known to be altered, there
  // but where an auditor saw a checkpoint that is not among these, they may have been signed anew since
  const doubt = ({ size, root }) => {
    const ours = signed.some((one) => one.size === size && one.root.equals(root));
    const low = Math.max(...good(ours ? all : witnessed).filter((one) => one < size));
    return Math.min(...altered.filter((seq) => low <= seq && seq < size), altered.some((seq) => low <= seq && seq < size) ? Infinity : low);
  };
  for (const note of signed) {
    if (note.size < largest) add("rollback", note.size);
    largest = Math.max(largest, note.size);
    if (seen.has(note.size) && !seen.get(note.size).equals(note.root)) add("fork", doubt(note));
    seen.set(note.size, seen.get(note.size) ?? note.root);
  }
  for (const note of all) {
    if (note.size > leaves.length) add("truncated", leaves.length);
    else if (!roots.get(note.size).equals(note.root)) add("root", doubt(note));
  }
  const covered = Math.max(0, ...all.map((note) => note.size));
  if (leaves.length > covered) add("unsigned", covered);
}

const options = { key: undefined, auditor: undefined }, directories = [];
for (let n = 2; n < process.argv.length; n += 1) {
  const name = process.argv[n].replace(/^--/, "");
  if (process.argv[n].startsWith("--") && name in options) options[name] = process.argv[(n += 1)];
  else directories.push(process.argv[n]);
}
for (const dir of directories) {
  let result;
  try {
    result = verifyDirectory(dir, options.key, options.auditor);
  } catch (error) {
    result = { dir, ok: false, size: 0, first_bad: null, codes: [`unreadable: ${error.message}`] };
  }
  console.log(JSON.stringify(result));
}
