// Fetches the page again every five seconds and puts its parts in place, so that nothing jumps and focus stays. Stands
// still while the tab is hidden or text is selected. Without it the page is what it was when it was opened.
'use strict';
const EVERY_MS = 5000;
async function refresh() {
  if (document.hidden || String(getSelection())) return;
  const age = document.getElementById('age');
  try {
    const answer = await fetch('/', { cache: 'no-store' });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.title = page.title;
    for (const fresh of page.querySelectorAll('[data-part]')) {
      const old = document.querySelector('[data-part="' + fresh.dataset.part + '"]');
      if (old && old.innerHTML !== fresh.innerHTML) old.innerHTML = fresh.innerHTML;
    }
  } catch (error) {
    if (age) age.textContent = 'pgrekey does not answer; what stands here is old';
    if (age) age.className = 'bad';
  }
}
setInterval(refresh, EVERY_MS);
