"use strict";

// Brings the parts that are marked data-live up to date; forms and what is open or focused stay as they are.
(() => {
  const EVERY_MS = 2000;
  const button = document.getElementById("live");
  let isLive = true;

  const openIds = (part) => [...part.querySelectorAll("details[open][id]")].map((one) => one.id);

  // The page's own address, without what an action had to say.
  const address = new URL(location.href);
  address.searchParams.delete("done");
  history.replaceState(null, "", address);

  // What is large and has a stamp comes only when it has changed.
  const withStamp = () => {
    const asked = new URL(address), stamped = document.querySelector("[data-stamp]");
    if (stamped) asked.searchParams.set("have", stamped.dataset.stamp);
    return asked;
  };

  const replace = (part, fresh) => {
    if (fresh.dataset.stamp) part.dataset.stamp = fresh.dataset.stamp;
    if (fresh.hasAttribute("data-kept")) return;
    if (part.innerHTML === fresh.innerHTML) return;
    const open = openIds(part);
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const mark = focused && (focused.id ? `[id="${CSS.escape(focused.id)}"]` : focused.getAttribute("href") && `a[href="${CSS.escape(focused.getAttribute("href"))}"]`);
    part.innerHTML = fresh.innerHTML;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (mark) part.querySelector(mark)?.focus({ preventScroll: true });
  };

  const take = (page) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) replace(part, fresh);
    }
    const actions = document.querySelector(".actions"), freshActions = page.querySelector(".actions");
    const shape = (one) => one && [...one.querySelectorAll("form")].map((form) => form.action).join();
    if (actions && freshActions && shape(actions) !== shape(freshActions)) actions.innerHTML = freshActions.innerHTML;
    const token = page.querySelector("input[name=token]");
    if (token) for (const one of document.querySelectorAll("input[name=token]")) one.value = token.value;
  };

  const refresh = async () => {
    try {
      const answer = await fetch(withStamp(), { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      button.classList.remove("lost");
      button.textContent = "Live";
    } catch {
      button.classList.add("lost");
      button.textContent = "No answer";
    }
  };

  const tick = async () => {
    if (isLive && !document.hidden && !getSelection()?.toString()) await refresh();
    setTimeout(tick, EVERY_MS);
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    isLive = !isLive;
    button.setAttribute("aria-pressed", String(isLive));
    button.textContent = isLive ? "Live" : "Stopped";
  });
  setTimeout(tick, EVERY_MS);
})();
