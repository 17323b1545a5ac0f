import { randomUUID } from "node:crypto";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { PermissionClient } from "../../../src/router/client/permissionClient.js";
import type { Replica } from "../../../src/server/start.js";
import { type Browser, startBrowser } from "../../support/browser.js";
import { openSync } from "../../support/clients/syncClient.js";
import { connect } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";
import { waitFor } from "../../support/waitFor.js";

const { getUserPermissions, getEventActiveSpeakers, pauseAllSpeakers, resumeSpeakers, setUserChannels } =
  PermissionService.method;
const { startPtt } = ChannelService.method;

let redis: RedisServer;
let replica: Replica;
let client: GrpcClient;
let browser: Browser;
let page: Page;
/** Of the running test. */
let eventId: string;
const complaints: string[] = [];
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  redis = await startRedis();
  replica = await startSquelch({ redisUrl: redis.url });
  client = connect(replica.grpcAddress);
  browser = await startBrowser({ viewport: { width: 1280, height: 800 } });
});
afterAll(async () => {
  await browser?.close();
  client?.close();
  await replica?.close();
  await redis?.stop();
});

beforeEach(async () => {
  eventId = `event-${randomUUID()}`;
  complaints.length = 0;
  page = await browser.context.newPage();
  page.setDefaultTimeout(12_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
});
afterEach(async () => {
  await page.close();
  for (const close of closers.splice(0).reverse()) await close();
  expect(complaints, "errors of the page").toEqual([]);
});

const assign = (userId: string, ...channelIds: string[]) =>
  client.unary(setUserChannels, { eventId, userId, channelIds });
const channelsOf = async (userId: string) => (await client.unary(getUserPermissions, { eventId, userId })).channelIds;
const standingPause = async () => (await client.unary(getEventActiveSpeakers, { eventId })).pause;

const status = (level: string) => page.locator(`.status-bar[data-level="${level}"]`);
const tile = (channelId: string) => page.locator(`[data-channel="${channelId}"]`);
const tab = (name: string) => page.getByRole("tab", { name });
const user = (userId: string) => page.getByRole("listbox", { name: "Users" }).getByRole("option", { name: userId });

/** Opens the page of the event, with two channels and one user, and waits until it is live. */
async function openEvent(at = replica): Promise<void> {
  await assign("anna", `${eventId}-stage`, `${eventId}-gate`);
  await page.goto(`http://${at.httpAddress}/#/event/${eventId}`);
  await status("live").waitFor();
  await tile(`${eventId}-stage`).waitFor();
}

describe("the console", () => {
  it("shows grants and revocations at once, and the speakers", async () => {
    await openEvent();
    const stage = tile(`${eventId}-stage`);
    expect(await stage.getAttribute("data-state")).toBe("free");
    await client.unary(startPtt, { channelId: `${eventId}-stage`, userId: "anna", userName: "Anna" });
    await page.locator(`[data-channel="${eventId}-stage"][data-state="speaking"]`).waitFor();
    expect(await stage.textContent()).toMatch(/Anna0:0\d/);

    await tab("Users").click();
    await user("anna").waitFor();
    await assign("ben", `${eventId}-new`);
    await user("ben").waitFor();
    await assign("ben");
    await user("ben").waitFor({ state: "detached" });
    await tab("Changes").click();
    await page.getByText(`ben loses ${eventId}-new`).waitFor();
    await page.getByRole("link", { name: "Events", exact: true }).click();
    await page.getByText(`Anna on ${eventId}-stage`).waitFor();
  });

  it("assigns and revokes, and shows on which routers the change is in force", async () => {
    const router = new PermissionClient({ address: replica.grpcAddress, routerId: `router-${eventId}` });
    closers.push(() => router.close());
    await openEvent();
    router.start();
    await tab("Users").click();
    await user("anna").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(`${eventId}-stage`).uncheck();
    await dialog.getByLabel("Find a channel to assign").fill(`${eventId}-tower`);
    await dialog.getByRole("button", { name: "Add the new channel" }).click();
    // Another caller writes meanwhile. The page keeps that change.
    await assign("anna", `${eventId}-stage`, `${eventId}-gate`, `${eventId}-late`);
    await dialog.getByText("3 channels").waitFor();
    await dialog.getByRole("button", { name: "Save 2 changes" }).click();
    await dialog.getByText(/1 gained, 1 lost, applied on 1 of 1 router/).waitFor();
    expect(await channelsOf("anna")).toEqual([`${eventId}-gate`, `${eventId}-late`, `${eventId}-tower`]);

    page.once("dialog", (question) => void question.accept());
    await dialog.getByRole("button", { name: "Revoke all" }).click();
    await dialog.getByText(/0 gained, 3 lost/).waitFor();
    expect(await channelsOf("anna")).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByLabel("Find a user").fill("newcomer");
    await page.getByRole("button", { name: "Assign newcomer" }).click();
    await dialog.getByLabel(`${eventId}-gate`).check();
    await dialog.getByRole("button", { name: "Save 1 change" }).click();
    await waitFor(async () => (await channelsOf("newcomer")).length === 1);
  });

  it("does not overwrite a change of another administrator that the page does not show yet", async () => {
    await openEvent();
    await tab("Users").click();
    await user("anna").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(`${eventId}-stage`).uncheck();
    const call = "**/squelch.v1.PermissionService/SetUserChannels";
    await page.route(call, async (route) => {
      await assign("anna", `${eventId}-stage`, `${eventId}-tower`);
      await route.continue();
    });
    await dialog.getByRole("button", { name: "Save 1 change" }).click();
    await dialog.getByText(/Nothing was written: another administrator has changed anna/).waitFor();
    await page.unroute(call);
    expect(await channelsOf("anna")).toEqual([`${eventId}-stage`, `${eventId}-tower`]);

    await dialog.getByText("2 channels in").waitFor();
    await dialog.getByRole("button", { name: "Save 1 change" }).click();
    await dialog.getByText(/0 gained, 1 lost/).waitFor();
    expect(await channelsOf("anna")).toEqual([`${eventId}-tower`]);
  });

  it("disconnects and bans, and lifts the ban", async () => {
    const router = new PermissionClient({ address: replica.grpcAddress, routerId: `router-${eventId}` });
    closers.push(() => router.close());
    const disconnected: string[] = [];
    router.on("disconnect", ({ userId, reason }) => disconnected.push(`${userId}: ${reason}`));
    router.start();
    await openEvent();
    await tab("Users").click();
    await user("anna").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Disconnect or ban").click();
    await dialog.getByLabel("Reason").fill("Lost radio");
    page.on("dialog", (question) => void question.accept());
    await dialog.getByRole("button", { name: "Disconnect" }).click();
    await dialog.getByText("Disconnected, applied on 1 of 1 router").waitFor();
    expect(disconnected).toEqual(["anna: Lost radio"]);
    const lift = dialog.getByRole("button", { name: "Lift the ban" });
    expect(await lift.count()).toBe(0);

    await dialog.getByLabel("Length of a ban").selectOption({ label: "1 hour" });
    await dialog.getByRole("button", { name: "Ban", exact: true }).click();
    await dialog.getByText("Banned, applied on 1 of 1 router").waitFor();
    const { ban } = await client.unary(getUserPermissions, { eventId, userId: "anna" });
    expect(ban).toMatchObject({ reason: "Lost radio", bannedBy: "console" });
    await page.keyboard.press("Escape");
    await user("anna").click();
    await dialog.getByText("Disconnect or ban").click();
    await dialog.getByText(/Banned until \d{4}-\d\d-\d\d .*: Lost radio/).waitFor();
    await lift.click();
    await dialog.getByText("The ban was lifted, applied on 1 of 1 router").waitFor();
    await lift.waitFor({ state: "detached" });
    expect((await client.unary(getUserPermissions, { eventId, userId: "anna" })).ban).toBeUndefined();
  });

  it("pauses after the button was held for two seconds, not earlier, and counts down until resumed", async () => {
    await openEvent();
    const router = new PermissionClient({ address: replica.grpcAddress, routerId: `router-${eventId}` });
    closers.push(() => router.close());
    router.start();
    await client.unary(startPtt, { channelId: `${eventId}-gate`, userId: "anna" });
    await page.getByLabel("Reason").fill("Storm");
    await page.getByLabel("Broadcaster").fill("dora");
    const button = page.getByRole("button", { name: "Pause all speakers" });
    const hold = async (ms: number) => {
      await button.hover();
      await page.mouse.down();
      await page.waitForTimeout(ms);
      await page.mouse.up();
    };
    await hold(500);
    await page.getByText("Released too early").first().waitFor();
    expect(await standingPause()).toBeUndefined();

    await hold(2_100);
    await page.getByRole("heading", { name: "All speakers are paused" }).waitFor();
    expect(await standingPause()).toMatchObject({ reason: "Storm", actor: "console", broadcaster: { userId: "dora" } });
    await page.getByText("1 of 1 router").waitFor();
    await page.locator('.tile[data-state="broadcast"]').first().waitFor();
    expect(await page.locator(".countdown").textContent()).toMatch(/^(1:00|0:5\d)$/);
    expect(await page.title()).toBe("(1 paused) Squelch");
    expect(await page.getByRole("alert").allTextContents()).toContain(
      `Emergency: all speakers of ${eventId} are paused: Storm`,
    );

    await page.getByRole("button", { name: "Resume" }).click();
    await button.waitFor();
    expect(await standingPause()).toBeUndefined();
    await page.locator(`[data-channel="${eventId}-gate"][data-state="free"]`).waitFor();
  });

  it("shows a pause by another caller, and its expiry (pitfall 33)", async () => {
    await openEvent();
    await client.unary(pauseAllSpeakers, { eventId, reason: "Drill", duration: { seconds: 1n } });
    await page.getByText("Drill").first().waitFor();
    await page.getByRole("button", { name: "Pause all speakers" }).waitFor();
    await tab("Changes").click();
    await page.getByText("The pause has expired").waitFor();
  });

  it("can be used with only the keyboard", async () => {
    await openEvent();
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
    const tabTo = async (text: string) => {
      // The text of a container such as the body would match everything.
      const focused = () =>
        page.evaluate<string>(
          "document.activeElement.matches('button, a, input') ? document.activeElement.textContent : ''",
        );
      for (let presses = 0; presses < 40 && !(await focused()).includes(text); presses++)
        await page.keyboard.press("Tab");
      expect(await focused()).toContain(text);
    };
    await tabTo("Pause all speakers");
    await page.keyboard.down("Space");
    await page.waitForTimeout(2_100);
    await page.keyboard.up("Space");
    await tabTo("Resume");
    await page.keyboard.press("Enter");
    await waitFor(async () => (await standingPause()) === undefined);

    await tabTo("Channels");
    await page.keyboard.press("ArrowRight");
    await tabTo("Users");
    for (let presses = 0; presses < 4; presses++) {
      if ((await page.evaluate("document.activeElement.getAttribute('role')")) === "listbox") break;
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("heading", { name: "anna" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });

  it("finds one of 10,000 users, and draws only the visible rows", async () => {
    const users = Array.from({ length: 10_000 }, (_, index) => ({
      userId: `unit-${index}`,
      channelIds: [`${eventId}-${index % 20}`],
    }));
    const sync = openSync(client);
    for (let first = 0; first < users.length; first += 1_000) {
      sync.write({ eventId, users: users.slice(first, first + 1_000) });
    }
    sync.end();
    await sync.answer;
    await page.goto(`http://${replica.httpAddress}/#/event/${eventId}`);
    await tab("Users").click();
    await user("unit-0").first().waitFor();
    await page.getByLabel("Find a user").fill("unit-9876");
    await page.getByText("1 user found").waitFor();
    expect(await page.getByRole("option", { name: "unit-9876" }).getAttribute("aria-setsize")).toBe("1");
    await page.getByLabel("Find a user").fill("");
    await page.getByRole("listbox", { name: "Users" }).focus();
    await page.keyboard.press("End");
    await user("unit-9999").waitFor();
    expect(await page.locator(".virtual-row").count()).toBeLessThan(60);
  });

  it("never shows stale data as fresh: it shows the age, and continues when the server is back", async () => {
    const other = await startSquelch({ redisUrl: redis.url });
    closers.push(() => other.close());
    await openEvent(other);
    await other.close();
    await status("lost").waitFor();
    expect(await status("lost").textContent()).toMatch(/This page was up to date \d+(\.\d)? s ago/);
    expect(await page.locator('.shell[data-live="false"]').count()).toBe(1);
    await tab("Users").click();
    await user("anna").click();
    await page.getByText("saving is not possible").waitFor();
    await page.keyboard.press("Escape");

    await assign("ben", `${eventId}-gate`);
    const { grpcAddress, httpAddress } = other;
    const again = await startSquelch({ redisUrl: redis.url, grpcAddress, httpAddress });
    closers.push(() => again.close());
    await page.getByRole("button", { name: "Try now" }).click();
    await status("live").waitFor();
    await user("ben").waitFor();
  });

  it("asks for a token when the server requires one, keeps it for this tab only, and asks again when it expires", async () => {
    const guarded = await startSquelch({ redisUrl: redis.url, tokenSecret: TOKEN_SECRET });
    closers.push(() => guarded.close());
    await assign("anna", `${eventId}-stage`);
    await page.goto(`http://${guarded.httpAddress}/#/event/${eventId}`);
    const signIn = async (token: string) => {
      await page.getByLabel("Token").fill(token);
      await page.getByRole("button", { name: "Sign in" }).click();
    };
    await signIn("no token at all");
    await page.getByRole("alert").getByText("token").waitFor();
    // This token is limited to one event, so the caller may not see the fleet. The page is live nevertheless.
    const claims = { scope: "watch pause", events: [eventId] };
    await signIn(await mintToken({ sub: "dora", ...claims }));
    await tile(`${eventId}-stage`).waitFor();
    await page.reload();
    await status("live").waitFor();
    expect(await page.getByRole("navigation", { name: "Events" }).getByRole("link").count()).toBe(1);
    await page.getByRole("link", { name: "Fleet" }).click();
    await page.getByText("about all events").waitFor();
    expect(await page.evaluate("localStorage.length")).toBe(0);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Token").waitFor();
    expect(await page.evaluate("sessionStorage.length")).toBe(0);

    await signIn(await mintToken({ ...claims, exp: Math.floor(Date.now() / 1_000) + 1 }));
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    await page.getByText("expired").waitFor();
  });

  it("shows replicas and routers, and their progress", async () => {
    const router = new PermissionClient({ address: replica.grpcAddress, routerId: `router-${eventId}` });
    closers.push(() => router.close());
    router.start();
    await page.goto(`http://${replica.httpAddress}/#/fleet`);
    await page
      .getByRole("row", { name: /answers this page/ })
      .getByText("healthy")
      .waitFor();
    await page
      .getByRole("row", { name: `router-${eventId}` })
      .getByText("up to date")
      .waitFor();
  });

  it("shows the audit trail with refusals, of one event or of all", async () => {
    await openEvent();
    await client.unary(resumeSpeakers, { eventId, pauseId: "none" }).catch(() => undefined);
    await tab("Audit").click();
    const refused = page.getByRole("row", { name: /ResumeSpeakers/ });
    await page.getByRole("row", { name: /SetUserChannels.*anna.*OK/ }).waitFor();
    await waitFor(async () => {
      if (await refused.isVisible()) return true;
      await page.getByRole("button", { name: "Read again" }).click();
      return false;
    });
    expect(await refused.textContent()).toContain("FAILED_PRECONDITION");
    await page.getByRole("link", { name: "Audit" }).click();
    await page.getByLabel("Find in the audit trail").fill(eventId);
    await page.getByRole("link", { name: eventId }).nth(1).click();
    await page.getByRole("heading", { name: eventId }).waitFor();
  });

  it("loads nothing from other servers, opens one stream, and fits a phone", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    await openEvent();
    expect(requests.filter((url) => !url.startsWith(`http://${replica.httpAddress}/`))).toEqual([]);
    expect(requests.filter((url) => url.includes("/Watch"))).toHaveLength(1);
    for (const hash of ["#/", "#/fleet", "#/audit", `#/event/${eventId}`]) {
      await page.goto(`http://${replica.httpAddress}/${hash}`);
      const overflow = await page.evaluate<number>(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth",
      );
      expect(overflow, hash).toBeLessThanOrEqual(0);
    }
  });
});
