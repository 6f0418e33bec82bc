// The report in Chromium, zh and en, wide, on a phone and on paper; prints what it saw as JSON, keeps pictures in `shots`.
// node report_page.mjs given.json   {"playwright": dir, "chromium": path, "pages": {"zh": url, "en": url}, "out": dir, "shots": dir|null}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const given = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { chromium } = createRequire(join(given.playwright, "x.js"))("playwright-core");
const browser = await chromium.launch({ executablePath: given.chromium, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
const seen = { requests: [], console: [], pages: {} };

// what of the text stands outside its box, or over other text of the same line
const cut = () => [...document.querySelectorAll("h1,h2,.lamp,.chip,.card b,.card span,dt,dd,th,td")]
  .filter((el) => el.scrollWidth > el.clientWidth + 1 && getComputedStyle(el).display !== "inline").map((el) => el.textContent.slice(0, 40));

for (const [language, url] of Object.entries(given.pages)) {
  const look = (seen.pages[language] = {});
  for (const [kind, options] of [["wide", { viewport: { width: 1000, height: 1300 } }],
    ["phone", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }]]) {
    const context = await browser.newContext({ ...options, offline: true, javaScriptEnabled: true });
    const page = await context.newPage();
    page.on("request", (request) => seen.requests.push(request.url().slice(0, 40)));
    page.on("console", (message) => { if (["error", "warning"].includes(message.type())) seen.console.push(message.text()); });
    await page.goto(url);
    look[kind] = {
      overflow: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
      cut: await page.evaluate(cut),
      lamp: (await page.locator(".lamp").boundingBox()).y,
    };
    if (given.shots) await page.screenshot({ path: join(given.shots, `report-${kind}-${language}.png`) });
    if (kind === "wide") {
      look.headings = await page.locator("h2").allInnerTexts();
      look.links = await page.locator("a[href^='#']").evaluateAll((all) => all.map((a) => !!document.getElementById(a.hash.slice(1))));
      look.chips = await page.locator(".chip").evaluateAll((all) => all.map((chip) => [chip.className, getComputedStyle(chip).backgroundColor]));
      look.charts = await page.locator("svg.chart").count();
      look.text = await page.innerText("body");
      await page.pdf({ path: join(given.out, `${language}.pdf`), preferCSSPageSize: true, printBackground: true });
    }
    await context.close();
  }
}
await browser.close();
process.stdout.write(JSON.stringify(seen));
