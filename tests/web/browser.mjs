// Drives Chromium over the status page and prints what it saw as one JSON document.
// node browser.mjs '{"playwright": dir, "chromium": path, "url": …, "large": …, "dying": "m-103", "shots": dir|null}'
import { createRequire } from "node:module";
import { join } from "node:path";

const given = JSON.parse(process.argv[2]);
const { chromium } = createRequire(join(given.playwright, "x.js"))("playwright-core");
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const seen = { requests: [], console: [], status: [] };

const browser = await chromium.launch({ executablePath: given.chromium, args: FLAGS });  // its profile is new and temporary

async function open(options) {
  const context = await browser.newContext({ locale: "zh-CN", ...options });
  context.on("request", (request) => seen.requests.push(request.url()));
  context.on("response", (response) => { if (response.status() >= 400) seen.status.push(`${response.status()} ${response.url()}`); });
  context.on("console", (message) => { if (["error", "warning"].includes(message.type())) seen.console.push(message.text()); });
  return context;
}
const shot = async (page, name, whole = false) => { if (given.shots) await page.screenshot({ path: join(given.shots, `${name}.png`), fullPage: whole, animations: "disabled" }); };
const text = (page, selector) => page.locator(selector).innerText();
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

const wide = await open({ viewport: { width: 1280, height: 860 } });
const page = await wide.newPage();
const row = `#m-${given.dying}`;

// live values
await page.goto(`${given.url}/?lang=zh`);
const before = { value: await text(page, "#m-m-101 .value"), age: await text(page, "#m-m-101 .age"), now: await text(page, "#now") };
seen.dying = [await page.locator(row).getAttribute("data-state")];
seen.path_before = await page.locator("#m-m-101 path").getAttribute("d");
process.stdout.write("looking\n");  // from here on the park lives fast
await page.waitForFunction((was) => document.querySelector("#m-m-101 .value").textContent !== was, before.value, { timeout: 15000 });
seen.before = before;
seen.after = { value: await text(page, "#m-m-101 .value"), age: await text(page, "#m-m-101 .age"), now: await text(page, "#now") };

// a meter dies
await page.waitForFunction((id) => ["silent", "gone"].includes(document.getElementById(id).dataset.state), `m-${given.dying}`, { timeout: 20000 });
seen.dying.push(await page.locator(row).getAttribute("data-state"));
await page.waitForFunction((id) => document.getElementById(id).dataset.state === "gone", `m-${given.dying}`, { timeout: 20000 });
seen.dying.push(await page.locator(row).getAttribute("data-state"));
seen.path_after = await page.locator("#m-m-101 path").getAttribute("d");
seen.dying_text = await text(page, `${row} .state`);
seen.summary = await text(page, "#summary");
seen.title_zh = await page.title();
await shot(page, "park-zh");

// search
const visible = () => page.locator("#meters tbody tr:visible").evaluateAll((rows) => rows.map((one) => one.id));
await page.fill("#q", "霜降");
seen.search_tenant = await visible();
seen.search_url = decodeURIComponent(new URL(page.url()).search);
await page.fill("#q", "3-10");
seen.search_room = await visible();
await page.fill("#q", "nobody");
seen.search_none = [await visible(), await page.locator("#none").isVisible()];
await page.fill("#q", "");
await page.check("#only");
seen.only_bad = await visible();
await page.uncheck("#only");

// languages
await page.click(".lang");
seen.lang_en = await page.locator("html").getAttribute("lang");
seen.english = (await text(page, "body")).replace(/\s+/g, " ");
await shot(page, "park-en");
await page.goto(`${given.url}/gateway`);
seen.kept_en = await page.locator("html").getAttribute("lang");
await shot(page, "gateway-en");

// the other pages
await page.goto(`${given.url}/meter/m-101?lang=zh`);
await page.waitForSelector("#day canvas");
seen.canvas = await page.locator("#day canvas").evaluate((c) => [c.width, c.height, new Set(c.getContext("2d").getImageData(0, 0, c.width, c.height).data).size]);
await shot(page, "meter-zh", true);
for (const name of ["tenants", "balance"]) {
  await page.goto(`${given.url}/${name}`);
  seen[name] = await page.locator(`#${name} tbody tr`).count();
  await shot(page, `${name}-zh`);
}
await page.goto(`${given.url}/sheet`);
await page.locator(".bounds form").first().locator("button").click();
await page.waitForSelector("#sheet");
seen.sheet = await page.locator("#sheet tbody tr").count();
await shot(page, "sheet-zh");
seen.overflow_wide = await overflow(page);

// a thousand meters: from the click to everything laid out and painted
seen.large = [];
const ticks = await wide.newCDPSession(page);
await ticks.send("Performance.enable", { timeDomain: "threadTicks" });
const busy = async () => (await ticks.send("Performance.getMetrics")).metrics.find((one) => one.name === "TaskDuration").value * 1000;
for (let n = 0; n < 3; n++) {
  await page.goto("about:blank");
  const before_ms = await busy();
  await page.goto(`${given.large}/`, { waitUntil: "load" });
  const look = await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(() =>
    done({ painted_ms: performance.now(), rows: document.querySelectorAll("#meters tbody tr").length })))));
  seen.large.push({ ...look, busy_ms: await busy() - before_ms });
}
seen.filter_ms = await page.evaluate(() => { const q = document.getElementById("q"); const t = performance.now();
  q.value = "m-0777"; q.dispatchEvent(new Event("input")); document.body.offsetHeight; return performance.now() - t; });
seen.filtered = await page.locator("#meters tbody tr:visible").count();
await wide.close();

// a phone
const phone = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
const hand = await phone.newPage();
seen.phone = {};
for (const path of ["/", "/meter/m-101", "/tenants", "/balance", "/sheet", "/gateway"]) {
  await hand.goto(`${given.url}${path}`);
  if (path.startsWith("/meter")) await hand.waitForSelector("#day canvas");
  if (path === "/sheet") {
    await hand.locator(".bounds button").first().click();
    await hand.waitForSelector("#sheet"); // a click does not wait for the page that it leads to
  }
  seen.phone[path] = await overflow(hand);
  await shot(hand, `phone-${path.split("/")[1] || "park"}`);
}
await hand.goto(`${given.url}/`);
seen.phone_head = await hand.locator("#meters thead").isVisible();
seen.phone_rows = await hand.locator("#meters tbody tr").evaluateAll((rows) => rows.map((one) => one.getBoundingClientRect().width));
await hand.goto(`${given.url}/sheet?lang=en`);
seen.phone_nav = await hand.locator("nav").evaluate((nav) => [nav.scrollWidth - nav.clientWidth, nav.clientHeight]);
await hand.locator(".bounds button").first().click();
await hand.waitForSelector("#sheet");
seen.phone_sheet = await hand.locator("#sheet tbody tr").evaluateAll((rows) => rows.map((one) => one.getBoundingClientRect().height));
await phone.close();

// without scripts
const bare = await open({ viewport: { width: 1000, height: 700 }, javaScriptEnabled: false });
const plain = await bare.newPage();
await plain.goto(`${given.url}/?lang=en`);
seen.bare_sparks = await plain.locator("#meters svg.spark path").count();
await plain.fill("#q", "霜降");
await plain.click(".search button");
await plain.waitForURL(/[?&]q=./);
seen.bare_search = await plain.locator("#meters tbody tr").count();
await plain.goto(`${given.url}/meter/m-101`);
seen.bare_chart = await plain.locator("#day svg path.own").count();
await bare.close();
await browser.close();
process.stdout.write(JSON.stringify(seen));
