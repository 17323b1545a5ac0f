import type { BrowserContext, Page } from "playwright-core";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { startBrowser } from "../../test/support/browser.js";
import { sync } from "../../test/support/clients/syncClient.js";
import { ensureSystemPackages } from "../../test/support/systemPackages.js";
import { percentile } from "../report/percentiles.js";
import { type Stack, withStack } from "../servers/stack.js";
import type { Row, Scenario } from "../support/scenario.js";

/** The events that the page shows. */
interface Fleet {
  events: number;
  /** The number of channels in each event. */
  channels: number;
  /** The number of users in each event. */
  users: number;
}

export interface ConsoleOptions {
  fleets: readonly Fleet[];
  /** How often the page is opened, each time in a new browser context. */
  rounds: number;
}

/** The measurements of one opened page. */
interface Measured {
  interactiveMs: number;
  eventMs: number;
  searchMs: number;
  heapMib: number;
  nodes: number;
}

// Runs inside the page. Records when the page is live and has drawn a frame after that.
const NOTE_LIVE = `window.liveMs = new Promise((resolve) => {
  new MutationObserver((_, observer) => {
    if (document.querySelector('.status-bar[data-level="live"]') === null) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
  }).observe(document, { childList: true, subtree: true, attributes: true });
});`;

/** Measures how soon the web console can be used, and how much memory it needs. */
export const webConsole: Scenario<ConsoleOptions> = {
  name: "console",
  title: "The web console: the time until all events are shown live, to open an event and to search, and its memory",
  columns: {
    events: "events",
    channels: "channels",
    users: "users",
    rounds: "rounds",
    interactiveMs: "interactive, median ms",
    interactiveMaxMs: "max ms",
    eventMs: "open an event, median ms",
    searchMs: "search, median ms",
    changes: "changes meanwhile",
    heapMib: "heap, MiB",
    nodes: "DOM nodes",
  },
  full: {
    fleets: [
      { events: 50, channels: 20, users: 200 },
      { events: 1, channels: 1_000, users: 10_000 },
    ],
    rounds: 7,
  },
  smoke: { fleets: [{ events: 2, channels: 3, users: 10 }], rounds: 1 },
  plots: [
    {
      title: "The web console, time until it is live, median",
      value: "interactiveMs",
      unit: "ms",
      labels: ["events"],
    },
  ],

  async run({ fleets, rounds }) {
    ensureSystemPackages();
    const rows: Row[] = [];
    for (const fleet of fleets) rows.push(await withStack((stack) => measureFleet(stack, fleet, rounds)));
    return rows;
  },
};

async function measureFleet(stack: Stack, fleet: Fleet, rounds: number): Promise<Row> {
  await fill(stack, fleet);
  const browser = await startBrowser({ viewport: { width: 1280, height: 800 } });
  try {
    // The first page also includes the browser's own start.
    await measure(browser.context, stack, fleet);
    const measured: Measured[] = [];
    const load = startLoad(stack);
    try {
      for (let round = 0; round < rounds; round++) measured.push(await measure(browser.context, stack, fleet));
    } finally {
      await load.stop();
    }
    return toRow(fleet, measured, load.changes());
  } finally {
    await browser.close();
  }
}

const eventOf = (index: number) => `event-${index}`;

async function fill({ grpcClient }: Stack, { events, channels, users }: Fleet): Promise<void> {
  for (let event = 0; event < events; event++) {
    const eventId = eventOf(event);
    const members = Array.from({ length: users }, (_, user) => ({
      userId: `unit-${event}-${user}`,
      channelIds: [0, 1, 2].map((next) => `${eventId}-channel-${(user + next) % channels}`),
    }));
    await sync(grpcClient, { eventId, users: members });
  }
}

/** Assigns a user again and again, so that the page is measured while it has changes to draw. */
function startLoad({ grpcClient }: Stack): { changes(): number; stop(): Promise<void> } {
  let changes = 0;
  let isOver = false;
  const { setUserChannels } = PermissionService.method;
  const running = (async () => {
    while (!isOver) {
      const channelIds = [`${eventOf(0)}-channel-${changes % 2}`];
      await grpcClient.unary(setUserChannels, { eventId: eventOf(0), userId: "busy", channelIds });
      changes++;
    }
  })();
  return {
    changes: () => changes,
    async stop() {
      isOver = true;
      await running;
    },
  };
}

async function measure(context: BrowserContext, { replica }: Stack, fleet: Fleet): Promise<Measured> {
  const page = await context.newPage();
  try {
    await page.addInitScript(NOTE_LIVE);
    await page.goto(`http://${replica.httpAddress}/`);
    const interactiveMs = await page.evaluate<number>("window.liveMs");
    const links = await page.locator(".event-list li").count();
    if (links !== fleet.events) throw new Error(`the page has ${links} events, not ${fleet.events}`);

    const eventMs = await timeToFrame(page, `location.hash = "#/event/${eventOf(0)}"`, ".tile", fleet.channels);
    await page.getByRole("tab", { name: "Users" }).click();
    const wanted = `unit-0-${fleet.users - 1}`;
    const search = `{
      const input = document.querySelector('[aria-label="Find a user"]');
      input.value = "${wanted}";
      input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }`;
    const searchMs = await timeToFrame(page, search, ".virtual-row", 1);
    return { interactiveMs, eventMs, searchMs, ...(await readMemory(context, page)) };
  } finally {
    await page.close();
  }
}

/** Runs a script in the page, waits until the page has drawn that many elements, and returns the time, ms. */
function timeToFrame(page: Page, script: string, selector: string, count: number): Promise<number> {
  return page.evaluate<number>(`new Promise((resolve) => {
    const beganMs = performance.now();
    ${script};
    const look = () => {
      if (document.querySelectorAll(${JSON.stringify(selector)}).length === ${count}) resolve(performance.now() - beganMs);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  })`);
}

async function readMemory(context: BrowserContext, page: Page): Promise<{ heapMib: number; nodes: number }> {
  const session = await context.newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  await session.send("Performance.enable");
  const { metrics } = await session.send("Performance.getMetrics");
  const read = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? Number.NaN;
  return { heapMib: read("JSHeapUsedSize") / (1 << 20), nodes: read("Nodes") };
}

function toRow({ events, channels, users }: Fleet, measured: readonly Measured[], changes: number): Row {
  const median = (field: keyof Measured) =>
    percentile(
      measured.map((page) => page[field]),
      50,
    );
  return {
    events,
    channels: events * channels,
    users: events * users,
    rounds: measured.length,
    interactiveMs: Math.round(median("interactiveMs")),
    interactiveMaxMs: Math.round(Math.max(...measured.map(({ interactiveMs }) => interactiveMs))),
    eventMs: Math.round(median("eventMs")),
    searchMs: Math.round(median("searchMs")),
    changes,
    heapMib: Math.round(median("heapMib") * 10) / 10,
    nodes: median("nodes"),
  };
}
