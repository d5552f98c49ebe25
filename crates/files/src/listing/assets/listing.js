"use strict";
// What a folder's page does beyond plain HTML: local times, filter, sorting in place, keys.
// Without this script everything still works, by links and a form.
(() => {
  const $ = (id) => document.getElementById(id);
  const list = $("list"), found = $("found"), query = $("q"), sum = $("sum"), cols = $("cols");
  if (!list) return;

  // Times: the page says UTC, in full in each title; a visitor reads their own clock's, written out once in sight.
  const lang = navigator.language;
  const clock = new Intl.DateTimeFormat(lang, { hour: "numeric", minute: "2-digit" });
  const sameYear = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
  const otherYear = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short", year: "numeric" });
  const exact = new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "long" });
  const midnight = new Date().setHours(0, 0, 0, 0), year = new Date().getFullYear();
  const stamp = (time) => Date.parse(time.dateTime || time.title.replace(" ", "T").replace(" UTC", "Z"));
  const localise = (block) => {
    if (block.localised) return;
    block.localised = true;
    for (const time of block.getElementsByTagName("time")) {
      if (time.dateTime || !time.title) continue;
      const at = stamp(time), date = new Date(at);
      if (isNaN(at)) continue;
      time.dateTime = date.toISOString();
      time.title = exact.format(date);
      if (at >= midnight && at < midnight + 864e5) time.textContent = "Today " + clock.format(date);
      else if (at >= midnight - 864e5 && at < midnight) time.textContent = "Yesterday " + clock.format(date);
      else time.textContent = (date.getFullYear() === year ? sameYear : otherYear).format(date);
    }
  };
  const sight = new IntersectionObserver((blocks) => {
    for (const block of blocks) if (block.isIntersecting) { localise(block.target); sight.unobserve(block.target); }
  }, { rootMargin: "800px" });
  const watch = () => { for (const block of list.children) sight.observe(block); };

  // Filter: every word must occur, whatever its case or accents. What is found is shown as copies, a page at a time,
  // so that a folder of a hundred thousand files answers each key at once.
  const PAGE = 300, BLOCK = 250;
  const fold = (text) => (/^[\x20-\x7e]*$/.test(text) ? text : text.normalize("NFKD").replace(/\p{M}/gu, "")).toLowerCase();
  let rows = null, matches = [], shown = 0;
  const index = () => rows ??= Array.from(list.querySelectorAll("li:not(.up)"), (row) => [fold(row.firstChild.textContent), row]);
  const whole = sum ? sum.textContent : "";
  let total = whole;
  const showMore = () => {
    const block = document.createElement("ul");
    for (const [, row] of matches.slice(shown, shown + PAGE)) block.append(row.cloneNode(true));
    shown = Math.min(matches.length, shown + PAGE);
    found.append(block);
    localise(block);
    found.querySelector(".more")?.remove();
    if (shown < matches.length) {
      const more = document.createElement("button");
      more.className = "more quiet";
      more.textContent = `Show more (${(matches.length - shown).toLocaleString(lang)} left)`;
      more.onclick = showMore;
      found.append(more);
    }
  };
  const filter = () => {
    const words = fold(query.value).split(/\s+/).filter(Boolean);
    found.replaceChildren();
    shown = 0;
    list.hidden = words.length > 0;
    found.hidden = !list.hidden;
    if (!words.length) { sum.textContent = total; return; }
    matches = index().filter(([name]) => words.every((word) => name.includes(word)));
    sum.textContent = `${matches.length.toLocaleString(lang)} of ${rows.length.toLocaleString(lang)} match`;
    if (matches.length) return showMore();
    const none = document.createElement("p");
    none.className = "none";
    none.textContent = "Nothing here has that in its name.";
    found.append(none);
  };
  if (query) {
    const served = query.defaultValue;
    let wait = 0;
    query.addEventListener("input", () => {
      if (!served) return filter();
      // The server has left out what did not match: ask it again.
      clearTimeout(wait);
      wait = setTimeout(() => query.form.submit(), 400);
    });
    query.form.addEventListener("submit", (event) => {
      event.preventDefault();
      (served ? list : found).querySelector("li:not(.up) a")?.click();
    });
    if (served) { query.focus(); query.setSelectionRange(served.length, served.length); }
    else if (query.value) filter(); // the browser brought it back
    query.addEventListener("focus", () => setTimeout(index), { once: true });
  }

  // Sorting in place, where that is quicker than asking the server.
  const SORT_HERE = 5000;
  const collator = new Intl.Collator(lang, { numeric: true, sensitivity: "base" });
  const keyOf = {
    name: (row) => row.firstChild.textContent,
    size: (row) => Number(row.children[1].title.replace(/\D/g, "")) || 0,
    date: (row) => { const time = row.lastElementChild; return time.title ? stamp(time) : -Infinity; },
  };
  const sortBy = (column, down) => {
    const key = keyOf[column], sign = down ? -1 : 1;
    const keyed = Array.from(list.querySelectorAll("li:not(.up)"), (row) =>
      ({ row, key: key(row), name: row.firstChild.textContent, folder: row.classList.contains("d") }));
    const byName = (a, b) => collator.compare(a.name, b.name);
    keyed.sort((a, b) => {
      if (a.folder !== b.folder) return a.folder ? -1 : 1;
      if (column === "name" || (column === "size" && a.folder)) return column === "name" ? sign * byName(a, b) : byName(a, b);
      return a.key < b.key ? -sign : a.key > b.key ? sign : byName(a, b);
    });
    const up = list.querySelector("li.up"), blocks = [];
    const ordered = keyed.map((entry) => entry.row);
    if (up) ordered.unshift(up);
    for (let at = 0; at < ordered.length; at += BLOCK) {
      const block = document.createElement("ul");
      block.append(...ordered.slice(at, at + BLOCK));
      blocks.push(block);
    }
    list.replaceChildren(...blocks);
    watch();
    rows = null;
    if (query?.value) filter();
  };
  cols?.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    if (query?.defaultValue || list.querySelectorAll("li").length > SORT_HERE) return;
    event.preventDefault();
    const wanted = new URLSearchParams(link.search), column = wanted.get("sort") || "name", down = wanted.get("order") === "desc";
    sortBy(column, down);
    history.replaceState(null, "", link.href);
    for (const each of cols.children) {
      const own = each.dataset.column, current = own === column;
      each.toggleAttribute("aria-current", current);
      each.classList.toggle("down", current && down);
      const next = current ? !down : own !== "name";
      each.href = `?sort=${own}&order=${next ? "desc" : "asc"}`;
    }
  });

  // Keys: / filters, arrows walk, Enter opens, Backspace goes up.
  const links = () => (list.hidden ? found : list).getElementsByTagName("a");
  const walk = (step, far) => {
    const all = links();
    if (!all.length) return;
    const here = document.activeElement, block = here?.closest?.(".rows li");
    let next;
    if (far) next = all[step > 0 ? all.length - 1 : 0];
    else if (!block) next = all[0];
    else {
      const beside = (row) => step > 0
        ? row.nextElementSibling ?? row.parentElement.nextElementSibling?.firstElementChild
        : row.previousElementSibling ?? row.parentElement.previousElementSibling?.lastElementChild;
      let row = beside(block);
      while (row && !row.querySelector("a")) row = beside(row);
      if (!row) { if (step < 0) query?.focus(); return; }
      next = row.querySelector("a");
    }
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const typing = event.target.closest("input,textarea,select");
    const act = (what) => { event.preventDefault(); what(); };
    if (typing) {
      if (typing !== query) return;
      if (event.key === "ArrowDown") act(() => walk(1));
      if (event.key === "Escape") act(() => { query.value = ""; query.dispatchEvent(new Event("input")); query.blur(); });
      return;
    }
    switch (event.key) {
      case "/": return query && act(() => { query.focus(); query.select(); });
      case "ArrowDown": case "j": return act(() => walk(1));
      case "ArrowUp": case "k": return act(() => walk(-1));
      case "Home": return act(() => walk(-1, true));
      case "End": return act(() => walk(1, true));
      case "Backspace": { const up = list.querySelector("li.up a"); return up && act(() => up.click()); }
    }
  });

  // Upload brings new files: show them without losing the page.
  window.doorstepRefresh = async (added) => {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    list.replaceChildren(...(fresh.getElementById("list")?.children ?? []));
    total = fresh.getElementById("sum")?.textContent ?? total;
    sum.textContent = total;
    $("nothing")?.remove();
    rows = null;
    watch();
    for (const link of list.getElementsByTagName("a"))
      if (added.has(link.textContent)) link.parentElement.classList.add("new");
    if (query?.value) filter();
  };
  watch();
})();
