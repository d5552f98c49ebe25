"use strict";
// Sends files: several at once, with progress, and onward from where it stopped when the connection comes back.
// The protocol is described in docs/protocol/upload.md.
(() => {
  const zone = document.getElementById("upload");
  if (!zone) return;
  const jobs = document.getElementById("jobs"), total = document.getElementById("total"), totalText = total.querySelector("span");
  const AT_ONCE = 3, RETRY_FIRST = 1000, RETRY_MOST = 15000, STALLED = 15000;
  const lang = navigator.language;
  const queue = [], running = new Set(), added = new Set();
  const counts = { files: 0, done: 0, failed: 0, bytes: 0, sent: 0 };

  const size = (bytes) => {
    const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let unit = 0;
    while (bytes >= 999.5 && unit < 5) { bytes /= 1000; unit++; }
    return (unit && bytes < 9.95 ? bytes.toFixed(1) : Math.round(bytes)) + " " + (unit === 0 && Math.round(bytes) === 1 ? "byte" : units[unit]);
  };
  const duration = (seconds) => {
    if (!isFinite(seconds)) return "";
    const s = Math.max(1, Math.round(seconds));
    if (s < 60) return `${s} s left`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s left`;
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min left`;
  };
  const make = (tag, className, text = "") => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  };

  // Where an unfinished upload can go on, kept so that choosing the same file again later resumes it.
  const memory = {
    key: (job) => "doorstep:" + [location.pathname, job.folder, job.file.name, job.file.size, job.file.lastModified].join("|"),
    get(job) { try { return localStorage.getItem(this.key(job)); } catch { return null; } },
    set(job) { try { localStorage.setItem(this.key(job), job.url); } catch { /* full or forbidden: it only resumes less */ } },
    forget(job) { try { localStorage.removeItem(this.key(job)); } catch { /* as above */ } },
  };

  class Refused extends Error {}
  class OutOfStep extends Error {}

  class Job {
    constructor(file, folder) {
      Object.assign(this, { file, folder, url: null, offset: 0, sent: 0, rate: 0, tries: 0, steps: 0, xhr: null, over: false });
      this.row = make("li", "job");
      this.name = make("span", "name", (folder ? folder + "/" : "") + file.name);
      this.name.title = this.name.textContent;
      this.bar = document.createElement("progress");
      this.bar.max = Math.max(1, file.size);
      this.bar.value = 0;
      this.state = make("span", "state", `${size(file.size)} · waiting`);
      this.button = make("button", "", "Cancel");
      this.button.type = "button";
      this.button.onclick = () => this.over ? this.dismiss() : this.cancel();
      this.row.append(this.name, this.bar, this.state, this.button);
    }

    say(text) { this.state.textContent = text; }

    progress(sent) {
      const now = performance.now();
      counts.sent += sent - this.sent;
      if (this.mark === undefined || sent < this.mark.sent) this.mark = { now, sent };
      const span = now - this.mark.now;
      if (span >= 400) {
        const rate = (sent - this.mark.sent) / span * 1000;
        this.rate = this.rate ? this.rate * 0.7 + rate * 0.3 : rate;
        this.mark = { now, sent };
      }
      this.sent = sent;
      this.bar.value = sent;
      const speed = this.rate > 1 ? ` · ${size(this.rate)}/s · ${duration((this.file.size - sent) / this.rate)}` : "";
      this.say(sent >= this.file.size && sent ? "Saving…" : `${size(sent)} of ${size(this.file.size)}${speed}`);
      tell();
    }

    // One request. Resolves with the finished XMLHttpRequest; rejects when nothing came back.
    request(method, url, headers, body) {
      return new Promise((resolve, reject) => {
        const xhr = this.xhr = new XMLHttpRequest();
        let timer = 0;
        const alive = () => { clearTimeout(timer); timer = setTimeout(() => xhr.abort(), STALLED); };
        xhr.open(method, url);
        xhr.setRequestHeader("Accept", "application/json");
        for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
        const from = this.offset;
        if (body) xhr.upload.onprogress = (event) => { alive(); this.progress(from + event.loaded); };
        xhr.upload.onload = () => clearTimeout(timer);
        xhr.onload = () => { clearTimeout(timer); resolve(xhr); };
        xhr.onerror = xhr.onabort = () => { clearTimeout(timer); reject(new Error("connection lost")); };
        alive();
        xhr.send(body);
      });
    }

    async begin() {
      const query = new URLSearchParams({ upload: "", name: this.file.name, size: this.file.size });
      if (this.folder) query.set("folder", this.folder);
      const answer = await this.request("POST", location.pathname + "?" + query, {});
      this.check(answer);
      this.url = answer.getResponseHeader("Location");
      this.offset = 0;
      memory.set(this);
    }

    // Asks how far it came. False when the server knows nothing of it any more.
    async look() {
      const answer = await this.request("HEAD", this.url, {});
      if (answer.status === 404) return false;
      this.check(answer);
      this.offset = Number(answer.getResponseHeader("Upload-Offset"));
      return true;
    }

    async send() {
      this.mark = undefined;
      const answer = await this.request("PATCH", this.url, { "Upload-Offset": this.offset, "Content-Type": "application/octet-stream" }, this.file.slice(this.offset));
      if (answer.status === 409) throw new OutOfStep();
      this.check(answer);
      this.offset = Number(answer.getResponseHeader("Upload-Offset"));
      if (answer.getResponseHeader("Upload-Complete") !== "?1") throw new Error("incomplete");
      try { this.saved = JSON.parse(answer.responseText).name; } catch { /* not told in an upload-only folder */ }
    }

    check(answer) {
      if (answer.status >= 200 && answer.status < 300) return;
      let words = "";
      try { words = JSON.parse(answer.responseText).error; } catch { words = ""; }
      const later = answer.status === 0 || answer.status === 408 || answer.status === 429 || (answer.status >= 500 && answer.status !== 507);
      if (later) throw new Error(words || "busy");
      throw new Refused(words || `The server refused it (${answer.status}).`);
    }

    async run() {
      this.url = memory.get(this);
      while (!this.over) {
        try {
          if (this.url && !(await this.look())) { memory.forget(this); this.url = null; }
          if (!this.url) await this.begin();
          if (this.over) return;
          const before = this.offset;
          await this.send().finally(() => { if (this.sent > before) this.tries = this.steps = 0; });
          return this.finish();
        } catch (problem) {
          if (this.over) return;
          if (problem instanceof Refused) return this.fail(problem.message);
          // Browsers repeat a request whose connection broke by themselves: then only the offset is wrong.
          if (problem instanceof OutOfStep && this.steps++ < 3) continue;
          const wait = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** this.tries++) * (0.75 + Math.random() / 2);
          this.rate = 0;
          this.say(`${size(this.sent)} of ${size(this.file.size)} · Connection lost. Trying again…`);
          await new Promise((resolve) => {
            this.wake = resolve;
            setTimeout(resolve, wait);
          });
        }
      }
    }

    finish() {
      this.over = true;
      memory.forget(this);
      counts.done++;
      counts.sent += this.file.size - this.sent;
      this.sent = this.file.size;
      this.row.classList.add("done");
      const renamed = this.saved && this.saved !== this.file.name;
      this.say(renamed ? `✓ ${size(this.file.size)}, saved as “${this.saved}”` : `✓ ${size(this.file.size)}`);
      this.button.textContent = "OK";
      this.button.hidden = true;
      added.add(this.saved ?? this.file.name);
    }

    fail(words) {
      this.over = true;
      memory.forget(this);
      counts.failed++;
      counts.bytes -= this.file.size;
      counts.sent -= this.sent;
      this.row.classList.add("failed");
      this.say(words);
      this.button.textContent = "OK";
      jobs.prepend(this.row);
    }

    cancel() {
      this.over = true;
      this.xhr?.abort();
      this.wake?.();
      if (this.url) fetch(this.url, { method: "DELETE", keepalive: true }).catch(() => {});
      memory.forget(this);
      counts.files--;
      counts.bytes -= this.file.size;
      counts.sent -= this.sent;
      this.row.remove();
      const at = queue.indexOf(this);
      if (at >= 0) queue.splice(at, 1);
      tell();
    }

    dismiss() { this.row.remove(); counts.files--; counts.failed--; tell(); }
  }

  let refresh = 0;
  const tell = () => {
    const open = counts.files - counts.done - counts.failed;
    total.hidden = counts.files < 2 && !(counts.files && !open && zone.classList.contains("only"));
    const failed = counts.failed ? ` · ${counts.failed} not sent` : "";
    totalText.textContent = open
      ? `${counts.done.toLocaleString(lang)} of ${counts.files.toLocaleString(lang)} files · ${size(counts.sent)} of ${size(counts.bytes)}${failed}`
      : `${counts.done.toLocaleString(lang)} ${counts.done === 1 ? "file" : "files"} sent · ${size(counts.sent)}${failed}`;
    total.querySelector("button").hidden = open > 0;
  };
  const pump = () => {
    while (running.size < AT_ONCE && queue.length) {
      const job = queue.shift();
      if (job.over) continue;
      if (!job.row.isConnected) {
        if (jobs.childElementCount >= ROWS) jobs.querySelector(".job.done")?.remove();
        jobs.append(job.row);
      }
      running.add(job);
      job.run().finally(() => {
        running.delete(job);
        tell();
        pump();
        if (!running.size && added.size && window.doorstepRefresh) {
          clearTimeout(refresh);
          refresh = setTimeout(() => { window.doorstepRefresh(new Set(added)); added.clear(); }, 150);
        }
      });
    }
  };
  // A folder of ten thousand files gets rows for the first of them at once, and the others when their turn comes.
  const ROWS = 200, JUNK = new Set([".DS_Store", "Thumbs.db", "desktop.ini"]);
  const add = (file, folder = "") => {
    if (JUNK.has(file.name)) return;
    const job = new Job(file, folder);
    counts.files++;
    counts.bytes += file.size;
    queue.push(job);
    if (jobs.childElementCount < ROWS) jobs.append(job.row);
  };
  const addAll = (files) => {
    for (const file of files) add(file, file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(0, -1).join("/") : "");
    tell();
    pump();
  };

  const entriesOf = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));
  const addEntry = async (entry, folder) => {
    if (entry.isFile) add(await fileOf(entry), folder);
    else if (entry.isDirectory) {
      const inside = folder ? folder + "/" + entry.name : entry.name, reader = entry.createReader();
      for (let some = await entriesOf(reader); some.length; some = await entriesOf(reader)) {
        for (const each of some) await addEntry(each, inside);
        tell();
        pump();
      }
    }
  };

  const carriesFiles = (event) => event.dataTransfer && Array.from(event.dataTransfer.types).includes("Files");
  let depth = 0;
  addEventListener("dragenter", (event) => { if (carriesFiles(event)) { depth++; document.body.classList.add("over"); event.preventDefault(); } });
  addEventListener("dragleave", (event) => { if (carriesFiles(event) && --depth <= 0) { depth = 0; document.body.classList.remove("over"); } });
  addEventListener("dragover", (event) => { if (carriesFiles(event)) { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; } });
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("over");
    const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.length) return addAll(event.dataTransfer.files);
    for (const entry of entries) try { await addEntry(entry, ""); } catch { /* vanished while it was read */ }
    tell();
    pump();
  });
  addEventListener("paste", (event) => {
    if (event.target.closest?.("input,textarea") || !event.clipboardData?.files.length) return;
    event.preventDefault();
    addAll(event.clipboardData.files);
  });
  for (const input of zone.querySelectorAll("label input[type=file]"))
    input.addEventListener("change", () => { addAll(Array.from(input.files)); input.value = ""; });
  total.querySelector("button").onclick = () => {
    jobs.replaceChildren();
    Object.assign(counts, { files: 0, done: 0, failed: 0, bytes: 0, sent: 0 });
    tell();
  };
  addEventListener("online", () => { for (const job of running) job.wake?.(); });
  addEventListener("beforeunload", (event) => { if (running.size || queue.length) event.preventDefault(); });
})();
