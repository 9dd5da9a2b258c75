// Plays a day of an analyst before the real server, and looks at every screen with axe and with a camera.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { startFront, startServer } from "./server.mjs";
import { authenticator } from "./totp.mjs";

const binary = process.env.PAVISE;
if (!binary) throw new Error("name the binary: PAVISE=/path/to/pavise npm run e2e");
const PORT = Number(process.env.PORT ?? 8471);
const origin = `http://localhost:${PORT}`;
const shots = fileURLToPath(new URL("shots/", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

rmSync(shots, { recursive: true, force: true });
mkdirSync(shots, { recursive: true });
const profile = mkdtempSync(join(tmpdir(), "pavise-console-"));
const complaints = [];
const check = (holds, what) => {
  if (!holds) throw new Error(what);
  console.log(`ok ${what}`);
};

const server = await startServer(binary, PORT, process.env.ATTACK ?? "mirai");
const front = await startFront(PORT);
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: FLAGS,
  viewport: { width: 1440, height: 900 },
  acceptDownloads: true,
  timezoneId: "Europe/London",
  locale: "en-GB",
});
const page = browser.pages()[0] ?? (await browser.newPage());
page.setDefaultTimeout(15_000);
let mayFail = false;
page.on("request", (asked) => {
  const url = new URL(asked.url());
  if (url.origin !== origin && !["data:", "blob:"].includes(url.protocol)) complaints.push(`request to elsewhere: ${asked.url()}`);
});
page.on("pageerror", (error) => complaints.push(`error in the page: ${error.message}`));
page.on("console", (said) => {
  if (said.type() !== "error" && !/Content Security Policy/i.test(said.text())) return;
  // A refusal by the server is told by the browser, too; those are wanted here.
  if (/Failed to load resource/.test(said.text()) && (mayFail || / (401|403|400|404|412) /.test(said.text()))) return;
  if (mayFail && /net::ERR/.test(said.text())) return;
  complaints.push(`console: ${said.text()}`);
});

/** The screen in both themes, wide and narrow, with axe in both themes. */
async function look(name) {
  await page.waitForFunction(() => !document.querySelector("main .spinner"));
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    for (const [size, width, height] of [["wide", 1440, 900], ["narrow", 320, 720]]) {
      await page.setViewportSize({ width, height });
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      await page.screenshot({ path: `${shots}${name}-${theme}-${size}.png`, fullPage: true });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 1) complaints.push(`${name} at ${width} px is ${over} px too wide`);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      for (const { id, impact, nodes } of violations) {
        const line = `axe, ${name} ${theme} ${size}: ${impact} ${id} at ${nodes[0].target} (${nodes.length}) ${nodes[0].failureSummary?.split("\n")[1]?.trim() ?? ""}`;
        if (impact === "serious" || impact === "critical") complaints.push(line);
        else console.log(line);
      }
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
  console.log(`ok looked at ${name}`);
}
const go = async (path) => {
  await page.goto(origin + path);
  await page.waitForSelector("h1");
};
/** Shows a code where the server asks for a second factor anew: it does five minutes after the last one. */
const stepUpIfAsked = async () => {
  const asked = page.getByRole("heading", { name: "Show a second factor again" });
  const isAsked = await Promise.race([asked.waitFor().then(() => true), page.locator(".toast, dialog .secret").first().waitFor().then(() => false)]).catch(() => false);
  if (!isAsked) return;
  await page.getByLabel("Code of your authenticator").fill(await code());
  await button("Go on").click();
};
let code;
const button = (name) => page.getByRole("button", { name, exact: true });

try {
  await go("/");
  check((await page.locator("h1").innerText()) === "Nobody can sign in yet", "who comes before the first administrator is told of the link");
  await look("first-start");

  await page.goto(`${origin}/setup#${server.secret}`);
  await page.getByLabel("Name to sign in with").fill("ada");
  check(!page.url().includes("#"), "the secret of the link is taken out of the address");
  await page.getByLabel("What people call you").fill("Ada Lovelace");
  await page.getByLabel("Password", { exact: true }).fill("four words of hers");
  await page.getByLabel("Password again").fill("four words of his");
  await look("setup");
  await button("Go on").click();
  await page.getByText("The two passwords differ").waitFor();
  await page.getByLabel("Password again").fill("four words of hers");
  await button("Go on").click();

  await page.getByRole("heading", { name: "Enrol a second factor" }).waitFor();
  await look("enrol");
  await page.getByRole("button", { name: /One-time passwords/ }).click();
  await page.getByText("Without a camera").click();
  code = authenticator(await page.getByTestId("totp-secret").innerText());
  await look("totp");
  await page.getByLabel("Six digits").fill("000000");
  await button("Enrol").click();
  await page.getByText(/not the code of the present half minute/).waitFor();
  await page.getByLabel("Six digits").fill(await code());
  await button("Enrol").click();
  await page.getByRole("heading", { name: "Keep your recovery codes" }).waitFor();
  const codes = await page.locator(".codes code").allInnerTexts();
  check(codes.length >= 8, "recovery codes are shown once");
  await look("recovery-codes");
  await page.getByLabel("I have kept them").check();
  await button("Go on").click();

  await page.getByRole("heading", { name: "Overview", exact: true }).waitFor();
  await page.locator(".line-live").waitFor();
  check(true, "the overview is live");
  await look("overview");

  await page.getByLabel("Theme").selectOption("dark");
  check((await page.evaluate(() => getComputedStyle(document.body).backgroundColor)) === "rgb(15, 19, 24)", "the theme is switched by hand, too");
  await page.getByLabel("Theme").selectOption("system");

  // Who sets the place up judges, too; without the role of an analyst he would not.
  await go("/incidents");
  await look("incidents");
  const analyst = async (is) => {
    await go("/users");
    await page.getByRole("button", { name: "Change ada" }).click();
    await page.getByLabel(/^Analyst/).setChecked(is);
    if (is) await look("user-change");
    await button("Save").click();
    await page.getByText("ada was changed.").waitFor();
  };
  await analyst(false);
  await go("/incidents");
  await page.locator("tbody a").first().click();
  await page.getByText("Your roles do not judge findings").first().waitFor();
  check(true, "who may not judge is told so");
  await analyst(true);
  await button("Invite somebody").click();
  await page.getByLabel("Name to sign in with").fill("grace");
  await page.getByLabel("What people call them").fill("Grace Hopper");
  await page.getByLabel(/^Viewer/).uncheck();
  await page.getByLabel(/^Auditor/).check();
  await button("Make the link").click();
  const link = new URL(await page.locator("dialog .secret").innerText());
  check(link.pathname === "/invitation" && link.hash.length > 20, "an invitation is a link with a secret");
  await button("Done").click();
  await look("users");

  await go("/incidents");
  await page.locator("tbody a").first().click();
  await page.getByRole("heading", { name: "Timeline" }).waitFor();
  await page.getByRole("heading", { name: "Blast radius" }).waitFor();
  await look("incident");
  await page.locator(".timeline").getByRole("button", { name: "True" }).first().click();
  await page.getByLabel("Why").fill("The recorder was taken over; it is off the network.");
  await look("verdict");
  await button("Judge as true").click();
  await page.getByText("1 finding judged as true.").waitFor();
  await page.locator(".timeline .verdict-true").first().waitFor();
  check(true, "the worst incident is triaged");
  await page.locator(".timeline h3 a").first().click();
  await page.getByRole("heading", { name: "What happened" }).waitFor();
  await look("finding");
  const [download] = await Promise.all([page.waitForEvent("download"), button("Download the packets").click()]);
  check(/^f[0-9a-f]+\.pcapng$/.test(download.suggestedFilename()), "the packets are downloaded");

  await go("/findings?filter=foo%3Abar");
  await page.getByText(/expected a field/).first().waitFor();
  check((await page.locator("[aria-invalid=true]").count()) === 1, "a wrong filter is told at the filter");
  await look("findings-wrong-filter");
  await go("/findings");
  await page.locator("tbody tr").first().waitFor();
  await look("findings");
  await page.keyboard.press("/");
  await page.keyboard.type("sever");
  await page.getByRole("option", { name: /severity/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.keyboard.type("lo");
  await page.keyboard.press("ArrowDown");
  await look("suggestions");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await page.waitForURL(/filter=severity/);
  check(decodeURIComponent(new URL(page.url()).search) === "?filter=severity>=low", "a filter is made from suggestions with the keys alone, and stands in the address");
  await page.locator("tbody input[type=checkbox]").nth(0).check();
  await page.locator("tbody input[type=checkbox]").nth(1).check();
  await page.locator(".bulk").getByRole("button", { name: "Expected" }).click();
  await page.getByLabel("Why").fill("A drill.");
  await button("Judge as expected").click();
  await page.getByText("2 findings judged as expected.").waitFor();
  check(true, "several findings are judged at once");

  await go("/devices");
  await page.locator(".vgrid-body .vgrid-row").first().waitFor();
  await look("devices");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Search or go to" }).fill("XVR");
  await page.getByRole("option", { name: /XVR camera/ }).waitFor();
  await look("palette");
  await page.getByRole("option", { name: /XVR camera/ }).click();
  await page.waitForURL(/\/devices\/d/);
  await page.getByRole("heading", { name: "XVR" }).waitFor();
  await look("device");
  for (const tab of ["services", "peers", "findings", "conversations"]) {
    await page.getByRole("tab", { name: new RegExp(tab, "i") }).click();
    await page.locator(".tab-panel .panel").first().waitFor();
    await look(`device-${tab}`);
  }
  await page.keyboard.press("g");
  await page.keyboard.press("e");
  await page.waitForURL(/\/explore/);
  await page.locator("tbody tr").first().waitFor();
  await page.locator(".series canvas").waitFor();
  await look("explore");
  await button("Look further back").click();
  await page.getByText(/^200 conversations shown/).waitFor();
  check(true, "conversations come a page at a time");
  await go("/map");
  await page.locator(".map-canvas canvas").first().waitFor();
  await page.getByText(/\d+ lines/).waitFor();
  await look("map");
  for (const [path, name] of [["/system", "system"], ["/detectors", "detectors"], ["/account", "account"]]) {
    await go(path);
    await page.waitForFunction(() => !document.querySelector("main .spinner"));
    await look(name);
  }
  await page.keyboard.press("?");
  await page.getByRole("heading", { name: "Keyboard" }).waitFor();
  await look("keys");
  await page.keyboard.press("Escape");

  // A passkey, by an authenticator that the browser plays.
  const devtools = await browser.newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  await go("/account");
  await button("Register").click();
  await page.getByLabel("What you call it").fill("Key on the ring");
  await page.locator("dialog").getByRole("button", { name: "Register" }).click();
  await stepUpIfAsked();
  await page.getByText("The passkey serves from now on.").waitFor();
  check(true, "a passkey is registered");
  // Five minutes later the server would want a second factor anew: here it does so at once, for one request.
  let isWanted = true;
  await page.route("**/api/v1/tokens", (route) => {
    if (route.request().method() !== "POST" || !isWanted) return route.continue();
    isWanted = false;
    return route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ type: "/problems/step-up", title: "Show a second factor again", status: 403, detail: "making a token needs a second factor of the last five minutes" }) });
  });
  await page.getByRole("button", { name: "Make a token" }).click();
  await page.getByLabel("What it is for").fill("Nightly export");
  await button("Make it").click();
  await page.getByRole("heading", { name: "Show a second factor again" }).waitFor();
  await look("step-up");
  await button("Use a passkey").click();
  await page.locator("dialog .secret").waitFor();
  check((await page.locator("dialog .secret").innerText()).startsWith("pavise_"), "a token is made after a passkey was shown anew, and is shown once");
  await look("token");
  await button("Done").click();

  // What stands there when the line is down.
  await go("/");
  await page.locator(".line-live").waitFor();
  mayFail = true;
  front.faults.events = true;
  front.breakEvents();
  await page.locator(".line-polling").waitFor();
  check(true, "a broken line of events is told, and polled instead");
  front.faults.events = false;
  await page.locator(".line-live").waitFor();
  check(true, "the line of events comes back by itself");
  front.faults.api = true;
  await page.getByRole("link", { name: "Devices", exact: true }).click();
  await page.getByText("The server does not answer").waitFor({ timeout: 30_000 });
  await look("server-down");
  front.faults.api = false;
  await button("Try again").first().click();
  await page.locator(".vgrid-body .vgrid-row").first().waitFor();
  mayFail = false;

  await button("Sign out").click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await look("sign-in");
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password").fill("wrong wrong wrong");
  await button("Sign in").click();
  await page.locator(".complaint").waitFor();
  await page.getByLabel("Password").fill("four words of hers");
  await button("Sign in").click();
  await page.getByLabel("Code of your authenticator").waitFor();
  await look("second-factor");
  await button("Use a recovery code").click();
  await page.getByLabel("Recovery code").fill(codes[0]);
  await button("Go on").click();
  await page.waitForURL(/\/devices/);
  check(true, "a recovery code lets in, and leads back to where one was");
  await button("Sign out").click();
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password").fill("four words of hers");
  await button("Sign in").click();
  await button("Use a passkey").click();
  await page.locator(".vgrid-body .vgrid-row").first().waitFor();
  check(true, "a passkey lets in");

  // Whoever was invited is an auditor: he reads the log, and changes nothing.
  await button("Sign out").click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.goto(link.href);
  await page.getByLabel("Password", { exact: true }).fill("four words of others");
  await page.getByLabel("Password again").fill("four words of others");
  await look("invitation");
  await button("Go on").click();
  await page.getByLabel("Name").fill("grace");
  await page.getByLabel("Password").fill("four words of others");
  await button("Sign in").click();
  await page.getByRole("button", { name: /A passkey/ }).click();
  await page.getByLabel("I have kept them").check();
  await button("Go on").click();
  await page.getByRole("link", { name: "Audit log" }).click();
  await page.getByText("verdict given").first().waitFor();
  check(true, "an auditor who was invited enrols a passkey and reads who has judged");
  await look("audit");
} catch (error) {
  await page.screenshot({ path: `${shots}failed.png`, fullPage: true }).catch(() => {});
  complaints.push(`${error.message.split("\n").slice(0, 4).join(" ")} at ${page.url()}`);
} finally {
  await browser.close();
  front.stop();
  server.stop();
  rmSync(profile, { recursive: true, force: true });
}
for (const complaint of complaints) console.error(`NOT ${complaint}`);
console.log(complaints.length ? `${complaints.length} complaints` : "all is well");
process.exit(complaints.length ? 1 : 0);
