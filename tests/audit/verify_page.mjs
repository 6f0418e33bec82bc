// The tenant's page in Chromium: gives it one proof file after another and prints what it said of each.
// node verify_page.mjs given.json   {"playwright": dir, "chromium": path, "page": url, "slips": url, "tries": [{"text", "slip"}]}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const given = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { chromium } = createRequire(join(given.playwright, "x.js"))("playwright-core");
const browser = await chromium.launch({ executablePath: given.chromium, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
const seen = { requests: [], console: [], tries: [] };
const context = await browser.newContext({ viewport: { width: 390, height: 844 }, locale: "zh-CN", offline: true });
const page = await context.newPage();
page.on("request", (request) => seen.requests.push(request.url().slice(0, 60)));
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) seen.console.push(message.text()); });
page.on("pageerror", (error) => seen.console.push(error.message));

await page.goto(given.page);
for (const { text, slip } of given.tries) {
  await page.reload();
  await page.fill("#slip", slip);
  await page.setInputFiles("#file", { name: "proof.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await page.waitForSelector("#verdict:not([hidden])");
  seen.tries.push({
    verdict: await page.getAttribute("#verdict", "class"),
    checks: await page.locator("#checks li").evaluateAll((all) => all.map((li) => [li.dataset.check, li.className, li.innerText])),
  });
}
seen.zh = await page.innerText("body");
await page.click("#lang");
await page.waitForFunction(() => document.documentElement.lang === "en");
seen.en = await page.innerText("body");
seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

// the slips' QR codes, drawn large, as rows of grey
await page.goto(given.slips);
seen.codes = await page.locator(".qr svg").evaluateAll((all) => Promise.all(all.map(async (svg) => {
  const image = new Image(), size = 600;
  image.src = "data:image/svg+xml," + encodeURIComponent(svg.outerHTML.replace("<svg", `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"`).replace(/xmlns="[^"]*"(?=.*xmlns=)/, ""));
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size }), draw = canvas.getContext("2d");
  draw.fillStyle = "white";
  draw.fillRect(0, 0, size, size);
  draw.drawImage(image, 0, 0, size, size);
  const grey = draw.getImageData(0, 0, size, size).data.filter((_, n) => n % 4 === 0);
  return btoa(Array.from(grey, (one) => String.fromCharCode(one)).join(""));
})));
await page.pdf({ path: given.pdf, preferCSSPageSize: true, printBackground: true });
await browser.close();
process.stdout.write(JSON.stringify(seen));
