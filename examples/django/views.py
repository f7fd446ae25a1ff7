"""A Django view that asks before it uses: about twenty lines, whatever table of accounts the product has."""

import os

from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse, JsonResponse

from troth.client import Troth

troth = Troth(os.environ["TROTH_URL"], os.environ["TROTH_KEY"])  # one for the process: it keeps connections


def account_created(user: User) -> None:
    """Call this from ``post_save``: from now on Troth knows this account, by its number alone."""
    troth.register(str(user.pk))


def remind(request: HttpRequest, number: int) -> HttpResponse:
    """Write to an account's holder, if the policy and the person let us: else say which clause stands against it."""
    user = User.objects.get(pk=number)
    answer = troth.ask(str(user.pk), "provide", ["email", "name"])
    if not answer:
        return JsonResponse({"clauses": answer.clauses, "gaps": answer.gaps}, status=403)
    send_mail("Your licence ends soon", f"Hello {user.first_name}, ...", None, [user.email])
    return HttpResponse(f"sent; see {answer.entry}")
