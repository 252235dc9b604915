// Opens rendered pages in Chromium and checks them as a customer meets them: `node pages.mjs CHROMIUM SHOTS FOLDER...`.
//
// Each folder holds NAME.html and beside it NAME.json with the page's status and headers. The pages are served to the
// browser under https://pay.example with these headers; nothing leaves the machine. What is checked of every page, in
// light and in dark, at three widths: no error on the console, no violation of its Content-Security-Policy, no request
// that it does not name, no horizontal scroll, and of open pages that the processor's element takes over. At the least
// and the greatest width, between which no rule of the style sheet changes a colour or a role, axe-core objects to
// nothing. Hostile pages run nothing. A screenshot of each state, layout and width is kept.
//
// Several pages are open at once. At the end stands how long each kind of work took.
import { readFileSync, readdirSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { chromium } from 'playwright-core';

const [executablePath, shots, ...folders] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ORIGIN = 'https://pay.example';
// Tabs that are open at once: two for each core, since a tab waits for its screenshots half of the time.
const TABS = Math.max(2, 2 * availableParallelism());

// Stands for the processor's script: it reads its configuration and builds a form into the mount point.
const ELEMENT = `
  const configuration = JSON.parse(document.getElementById('payment-configuration').textContent);
  const mount = document.getElementById('payment-element');
  const field = (label, hint, half) => {
    const wrap = document.createElement('label');
    wrap.textContent = label;
    const input = document.createElement('input');
    input.placeholder = hint;
    input.autocomplete = 'off';
    wrap.append(input);
    for (const [name, value] of Object.entries({ display: 'grid', gap: '6px', fontSize: '14px', color: 'var(--ink)' }))
      wrap.style[name] = value;
    for (const [name, value] of Object.entries({ font: 'inherit', fontSize: '16px', padding: '13px 14px', width: '100%',
      border: '1px solid var(--line)', borderRadius: '10px', background: 'var(--surface)', color: 'var(--ink)' }))
      input.style[name] = value;
    if (!half) wrap.style.gridColumn = 'span 2';
    return wrap;
  };
  mount.replaceChildren(field('Card number', '1234 1234 1234 1234'), field('Expiry', 'MM / YY', true), field('CVC', '123', true));
  mount.style.display = 'grid';
  mount.style.gridTemplateColumns = 'minmax(0,1fr) minmax(0,1fr)';
  mount.style.gap = '14px';
  document.getElementById('submit').disabled = false;
  document.documentElement.dataset.taken = JSON.stringify(configuration.element);
`;
const PICTURE = `<svg xmlns="http://www.w3.org/2000/svg" width="320" height="320"><defs><linearGradient id="g" x2="1" y2="1"><stop
  stop-color="#f59e0b"/><stop offset="1" stop-color="#7c2d12"/></linearGradient></defs><rect width="320" height="320" rx="48" fill="url(#g)"/></svg>`;

const pages = folders.flatMap((folder) =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.html'))
    .sort()
    .map((file) => {
      const name = basename(file, '.html');
      const beside = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
      return { name, html: readFileSync(join(folder, file), 'utf8'), ...beside };
    }),
);
if (pages.length === 0) throw new Error('there is no page to open');
mkdirSync(shots, { recursive: true });

const failures = [];
const fail = (where, what) => failures.push(`${where}: ${what}`);
const spent = new Map();
async function timed(what, work) {
  const begin = performance.now();
  try {
    return await work();
  } finally {
    spent.set(what, (spent.get(what) ?? 0) + performance.now() - begin);
  }
}

// What a page asks for is answered from here alone.
async function serve(route, page, where) {
  const url = route.request().url();
  if (url === `${ORIGIN}/${page.name}`) return route.fulfill({ status: 200, headers: page.headers, body: page.html });
  if (url === 'https://js.processor.example/v1/element.js')
    return route.fulfill({ contentType: 'text/javascript', body: ELEMENT });
  if (/^https:\/\/(static\.shop|acme)\.example\//.test(url))
    return route.fulfill({ contentType: 'image/svg+xml', body: PICTURE });
  if (url === `${ORIGIN}/favicon.ico`) return route.fulfill({ status: 204 });
  fail(where.now, `asked for ${url}`);
  return route.abort();
}

// Opens a page in a context of its own. `where.now` says what is looked at, for whatever the page says meanwhile.
async function open(browser, page, options, where, check) {
  const context = await browser.newContext({ deviceScaleFactor: 1, ...options });
  try {
    await context.route('**/*', (route) => serve(route, page, where));
    const tab = await context.newPage();
    tab.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) fail(where.now, `console: ${message.text()}`);
    });
    tab.on('pageerror', (error) => fail(where.now, `script: ${error.message}`));
    tab.on('dialog', (dialog) => {
      fail(where.now, `dialog: ${dialog.message()}`);
      return dialog.dismiss();
    });
    await tab.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (event) => {
        window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    await timed('opening', () => tab.goto(`${ORIGIN}/${page.name}`, { waitUntil: 'load' }));
    await check(tab);
  } catch (error) {
    fail(where.now, `could not be checked: ${error.message}`);
  } finally {
    await context.close().catch((error) => fail(where.now, `could not be closed: ${error.message}`));
  }
}

async function examine(tab, page, where) {
  const state = await tab.evaluate(() => ({
    violations: window.violations,
    hostile: window.__hostile,
    wide: document.scrollingElement.scrollWidth - document.documentElement.clientWidth,
    element: document.getElementById('payment-element') !== null,
    taken: document.documentElement.dataset.taken,
    styled: getComputedStyle(document.documentElement).getPropertyValue('--canvas') !== '',
    visible: getComputedStyle(document.body).display !== 'none',
  }));
  for (const violation of state.violations) fail(where, `policy: ${violation}`);
  if (state.hostile !== undefined) fail(where, 'a hostile value ran');
  if (state.wide > 0) fail(where, `scrolls sideways by ${state.wide} px`);
  if (!state.styled || !state.visible) fail(where, 'has lost its style');
  if (state.element && state.taken === undefined) fail(where, 'the element did not take over');
  if (page.expected !== undefined && state.element && JSON.parse(state.taken).note !== page.expected)
    fail(where, 'the element was told something else');
}

const incomplete = new Map();
async function accessible(tab, where) {
  if (!(await tab.evaluate(() => 'axe' in window))) await tab.evaluate(axe);
  const found = await tab.evaluate(async () => {
    const results = await axe.run(document, { resultTypes: ['violations', 'incomplete'] });
    const told = (list) => list.map((rule) => `${rule.id}: ${rule.help}: ${rule.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`);
    return { violations: told(results.violations), incomplete: told(results.incomplete) };
  });
  for (const violation of found.violations) fail(where, `axe: ${violation}`);
  for (const rule of found.incomplete) incomplete.set(rule.split(':')[0], where);
}

// Every stop of the tab key has a name and can be seen to have the focus.
async function walk(tab, where) {
  const seen = [];
  for (let stop = 0; stop < 40; stop += 1) {
    await tab.keyboard.press('Tab');
    const at = await tab.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body || element === null) return null;
      const style = getComputedStyle(element);
      return {
        name: element.id || element.className || element.tagName,
        ringed: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
      };
    });
    if (at === null) break;
    if (!at.ringed) fail(where, `the focus on ${at.name} cannot be seen`);
    seen.push(at.name);
  }
  return seen;
}

const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

let opened = 0;

// What is looked at of a page. English and Arabic, which is written the other way round, are looked at in everything;
// Spanish, whose words are longer, where there is least room; hostile values, which are in every field of an open page, at
// both ends.
function views(name) {
  const view = (width, colorScheme, axe, shot) => ({ width, colorScheme, axe, shot });
  if (name.startsWith('hostile'))
    return [view(320, 'light', name.includes('-active-'), false), view(1280, 'light', false, false)];
  if (name.endsWith('-es')) return [view(320, 'light', true, true)];
  return [view(320, 'light', true, true), view(768, 'light', false, true), view(1280, 'light', true, true),
    view(320, 'dark', true, false), view(768, 'dark', false, false), view(1280, 'dark', true, true)];
}

async function everywhere(page) {
  const where = { now: page.name };
  await open(browser, page, { reducedMotion: 'reduce' }, where, async (tab) => {
    for (const { width, colorScheme, axe, shot } of views(page.name)) {
      where.now = `${page.name} ${width} ${colorScheme}`;
      await tab.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await tab.setViewportSize({ width, height: 800 });
      await timed('looking', () => examine(tab, page, where.now));
      if (axe) await timed('axe-core', () => accessible(tab, where.now));
      const path = join(shots, `${page.name}-${width}-${colorScheme}.png`);
      if (shot) await timed('screenshots', () => tab.screenshot({ path, fullPage: true }));
      opened += 1;
    }
    if (/^(?!hostile).*-active-(en|ar)$/.test(page.name)) {
      const stops = await timed('keyboard', () => walk(tab, page.name));
      if (stops[0] !== 'skip' || !stops.includes('submit')) fail(page.name, `the tab key stops at ${stops.join(', ')}`);
    }
  });
}

// Without JavaScript the page is whole, and says what is missing.
async function scriptless(page) {
  const where = { now: `${page.name} without JavaScript` };
  await open(browser, page, { viewport: { width: 390, height: 800 }, javaScriptEnabled: false }, where, async (tab) => {
    const active = page.name.includes('-active-');
    if ((await tab.locator('noscript .note').isVisible().catch(() => false)) !== active) fail(where.now, 'the note is not as it should be');
    if ((await tab.locator('#submit').isVisible()) === active) fail(where.now, 'the button is not as it should be');
    if (!(await tab.locator('h1').isVisible())) fail(where.now, 'there is no heading');
    await tab.screenshot({ path: join(shots, `${page.name}-without-javascript.png`), fullPage: true });
  });
  opened += 1;
}

// A secure link is shown in a frame of an allowed domain, and of no other one; an ordinary link in none.
async function framed(page, site, allowed) {
  const where = { now: `${page.name} framed by ${site}` };
  const context = await browser.newContext();
  await context.route('**/*', (route) => route.request().url() === `${site}/`
    ? route.fulfill({ contentType: 'text/html', body: `<!doctype html><iframe src="${ORIGIN}/${page.name}"></iframe>` })
    : serve(route, page, where));
  const tab = await context.newPage();
  await tab.goto(`${site}/`, { waitUntil: 'load' });
  const frame = tab.frames()[1];
  const shown = (await frame.locator('.page').count().catch(() => 0)) > 0;
  if (shown !== allowed) fail(where.now, shown ? 'is shown' : 'is not shown');
  await context.close();
  opened += 1;
}

const work = pages.map((page) => () => everywhere(page));
for (const page of pages.filter(({ name }) => /^(layout1|layout2)-(active|open-amount)/.test(name))) work.push(() => scriptless(page));
for (const page of [pages.find(({ headers }) => headers['content-security-policy'].includes('*.shop.example')),
  pages.find(({ headers }) => headers['content-security-policy'].includes("frame-ancestors 'none'"))]) {
  if (page === undefined) throw new Error('there is no page for a frame');
  const secure = page.name.startsWith('hostile');
  for (const [site, allowed] of [['https://shop.example', secure], ['https://www.shop.example', secure], ['https://evil.example', false]])
    work.push(() => framed(page, site, allowed));
}

const begin = performance.now();
let next = 0;
await Promise.all(Array.from({ length: TABS }, async () => {
  while (next < work.length) {
    const task = work[next];
    next += 1;
    await task();
  }
}));
await browser.close();

const seconds = (milliseconds) => (milliseconds / 1000).toFixed(0);
for (const [rule, where] of incomplete) console.log(`axe-core leaves to people: ${rule} (last at ${where})`);
for (const failure of [...new Set(failures)].sort()) console.error(failure);
console.log([...spent].map(([what, time]) => `${what} ${seconds(time)} s`).join(', '), `in ${TABS} tabs at once`);
console.log(`${opened} openings of ${pages.length} pages in ${seconds(performance.now() - begin)} s, ${failures.length} failures; screenshots in ${shots}`);
process.exitCode = failures.length === 0 ? 0 : 1;
