"""The first table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Messages."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(max_length=200)),
            ],
        ),
    )
